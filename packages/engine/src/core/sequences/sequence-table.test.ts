import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SavedRows } from '../schedule/prefix-cache.ts'
import type { Costs } from '../schedule/schedule.ts'
import { type Caches, SequenceTable } from './sequence-table.ts'

interface Options {
  /** Per stage its device. */
  devices?: number[]
  slots?: number
  cells?: number
  unified?: boolean
  batch?: number
}

/** Rows that cost nothing, so that whatever can run together does. */
const free: Costs = { rows: () => 1, within: () => 1000 }

/** A core over caches that only write down what was done to them. */
function recorded(options: Options = {}) {
  const calls: string[] = []
  const caches: Caches = {
    remove: (stage, slot, from) => calls.push(`remove ${stage} ${slot} ${from}`),
    share: (stage, source, to, from, end) => calls.push(`share ${stage} ${source} ${to} ${from}..${end}`),
    save: (stage, slot) => ({ bytes: calls.push(`save ${stage} ${slot}`) }),
    restore: (stage, slot) => calls.push(`restore ${stage} ${slot}`),
  }
  const { batch = 100, ...rest } = options
  const limits = { batch, stepMs: 1000 }
  const defaults = { devices: [0], slots: 2, cells: 1000, unified: true }
  const core = new SequenceTable({ ...defaults, ...rest, caches, limits, costs: free })
  return { core, calls }
}

function runAll(core: SequenceTable): void {
  for (let ran = true; ran; ) {
    ran = false
    for (const device of [0, 1]) {
      const step = core.next(device)
      if (step) core.ran(step, 0)
      ran ||= step !== undefined
    }
  }
}

test('a full core takes no sequence and no fork', () => {
  const { core } = recorded({ slots: 1 })
  const sequence = core.add([1, 2, 3])!
  assert.equal(core.add([1]), undefined)
  runAll(core)
  assert.equal(core.addLookahead(sequence, 2, [5]), undefined)
  assert.equal(core.sequences.size, 1)
})

test('the prompt is copied: what the caller does with its array afterwards changes nothing', () => {
  const { core } = recorded()
  const prompt = [1, 2, 3]
  const sequence = core.add(prompt)!
  prompt.push(4)
  assert.deepEqual(sequence.tokens, [1, 2, 3])
})

test('a decision extends, confirms or replaces, and a replaced tail leaves every stage that had computed it', () => {
  const { core, calls } = recorded({ devices: [0, 0] })
  const sequence = core.add([1, 2])!
  runAll(core)
  assert.equal(core.decide(sequence, 3), 'extended')
  core.append(sequence, [4, 5, 6])
  runAll(core)
  assert.equal(core.decide(sequence, 4), 'confirmed')
  assert.deepEqual(calls, [])
  assert.equal(core.decide(sequence, 9), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 3, 4, 9])
  assert.deepEqual(sequence.computed, [4, 4])
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 4`, `remove 1 ${sequence.slot} 4`])
})

test('a tail that no stage has computed is replaced without touching a cache', () => {
  const { core, calls } = recorded()
  const sequence = core.add([1, 2])!
  runAll(core)
  core.append(sequence, [3, 4])
  assert.equal(core.decide(sequence, 7), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 7])
  assert.deepEqual(calls, [])
})

test('committed tokens cannot be replaced', () => {
  const { core } = recorded()
  const sequence = core.add([1, 2])!
  runAll(core)
  core.decide(sequence, 3)
  assert.throws(() => core.replace(sequence, 2, [9]), RangeError)
  assert.deepEqual(sequence.tokens, [1, 2, 3])
})

test('a fork shares computed rows in every stage, and takes no other fork point', () => {
  const { core, calls } = recorded({ devices: [0, 0], batch: 2 })
  const parent = core.add([1, 2, 3, 4])!
  parent.pausedAt = 2
  core.ran(core.next()!, 0)
  assert.throws(() => core.addLookahead(parent, 2, [9]), RangeError, 'the last stage has not computed it')
  runAll(core)
  const fork = core.addLookahead(parent, 2, [9, 8])!
  assert.deepEqual(fork.tokens, [1, 2, 9, 8])
  assert.deepEqual(fork.computed, [2, 2])
  assert.deepEqual(calls, [`share 0 ${parent.slot} ${fork.slot} 0..2`, `share 1 ${parent.slot} ${fork.slot} 0..2`])
  parent.pausedAt = Number.POSITIVE_INFINITY
  runAll(core)
  core.append(parent, [5])
  runAll(core)
  assert.throws(() => core.addLookahead(parent, 5, []), RangeError, 'a guess may be rolled back under the fork')
})

test('a sequence that ends takes its forks along', () => {
  const { core } = recorded()
  const parent = core.add([1, 2])!
  runAll(core)
  const fork = core.addLookahead(parent, 1, [3])!
  core.remove(parent)
  assert.equal(core.has(fork), false)
  assert.equal(core.freeSlots, 2)
})

test('removed under a running step: the rows and the slot go when it ends, not before', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { core, calls } = recorded({ slots: 1 })
    const sequence = core.add([1, 2, 3])!
    const step = core.next()!
    core.remove(sequence)
    core.remove(sequence)
    assert.deepEqual(calls, [])
    assert.equal(core.add([4]), undefined)
    core[end](step, 0)
    assert.equal(calls.at(-1), 'remove 0 0 0')
    assert.equal(core.freeSlots, 1)
    assert.deepEqual(core.add([4])!.computed, [0])
  }
})

test('an aborted step counts for nothing and runs again', () => {
  const { core, calls } = recorded()
  const sequence = core.add([1, 2, 3])!
  const step = core.next()!
  core.aborted(step)
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 0`])
  assert.deepEqual(core.next()!.rows, step.rows)
})

test('without work there is no step, and a sequence can be removed at once', () => {
  const { core, calls } = recorded()
  const sequence = core.add([1])!
  runAll(core)
  assert.equal(core.next(), undefined)
  core.remove(sequence)
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 0`])
})

test('a text that is revised keeps what agrees, and a reply branches off it without its last row', () => {
  const { core, calls } = recorded({ devices: [0, 0], slots: 2 })
  const text = core.addInput()!
  core.revise(text, [1, 2, 3, 4])
  runAll(core)
  core.revise(text, [1, 2, 9])
  assert.deepEqual(text.computed, [2, 2])
  assert.deepEqual(calls.splice(0), [`remove 0 ${text.slot} 2`, `remove 1 ${text.slot} 2`])
  runAll(core)
  const reply = core.addSharing(text, [1, 2, 9])!
  assert.deepEqual(reply.computed, [2, 2], 'the last row has to run: its logits are wanted')
  assert.equal(core.addSharing(text, [1]), undefined, 'no slot is left')
  core.revise(text, [7])
  assert.deepEqual(reply.tokens, [1, 2, 9])
  assert.deepEqual(reply.computed, [2, 2])
})

test('a reply that shares nothing with the text starts from nothing', () => {
  const { core, calls } = recorded()
  const text = core.addInput()!
  core.revise(text, [1, 2])
  runAll(core)
  assert.deepEqual(core.addSharing(text, [3, 4])!.computed, [0])
  assert.deepEqual(calls, [])
})

test('a reply takes over only what has left the last stage', () => {
  const { core, calls } = recorded({ devices: [0, 0], batch: 4 })
  const source = core.add([1, 2, 3, 4, 5, 6])!
  core.ran(core.next()!, 0)
  assert.deepEqual(core.addSharing(source, [1, 2, 3, 4, 5, 6])!.computed, [0, 0])
  assert.deepEqual(calls, [])
})

// --- steps in flight ------------------------------------------------------------------------------------------------

test('devices run at the same time, the stages of one in turn', () => {
  const { core } = recorded({ devices: [0, 1, 0], batch: 4 })
  core.add([1, 2, 3, 4, 5, 6, 7, 8])
  const first = core.next(0)!
  assert.equal(core.next(0), undefined, 'the device is busy')
  assert.equal(core.next(1), undefined, 'nothing has left stage 0')
  core.ran(first, 0)
  const above = core.next(1)!
  const below = core.next(0)!
  assert.deepEqual([above.stage, below.stage], [1, 0])
  assert.deepEqual(core.running, [below, above])
  core.ran(above, 0)
  assert.equal(core.next(0), undefined, 'stage 2 waits for its device, which runs stage 0')
  core.ran(below, 0)
  assert.equal(core.next(0)!.stage, 2)
})

test('a rollback while rows run: those before it count, the others leave the cache when the step ends', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { core, calls } = recorded({ devices: [0, 1] })
    const text = core.addInput()!
    core.revise(text, [1, 2, 3, 4])
    const step = core.next()!
    core.revise(text, [1, 2, 9])
    assert.deepEqual(calls, [])
    core[end](step, 0)
    assert.deepEqual(text.computed, end === 'ran' ? [2, 0] : [0, 0])
    assert.equal(calls.at(-1), `remove 0 ${text.slot} 2`)
    assert.equal(core.next()!.rows[0]!.from, end === 'ran' ? 2 : 0)
  }
})

test('what was rolled back while it ran stays rolled back, whatever was written in its place', () => {
  const { core } = recorded()
  const text = core.addInput()!
  core.revise(text, [1, 2, 3, 4, 5])
  const step = core.next()!
  core.revise(text, [1, 2, 9, 9, 9])
  core.revise(text, [1, 2, 9, 9, 8])
  core.ran(step, 0)
  assert.deepEqual(text.computed, [2])
})

test('a rollback below the rows that run: nothing of them counts', () => {
  const { core, calls } = recorded({ batch: 3 })
  const text = core.addInput()!
  core.revise(text, [1, 2, 3, 4, 5, 6])
  core.ran(core.next()!, 0)
  const step = core.next()!
  core.revise(text, [1, 7])
  assert.deepEqual(text.computed, [1])
  core.ran(step, 0)
  assert.deepEqual(text.computed, [1])
  assert.deepEqual(calls, [`remove 0 ${text.slot} 1`])
})

test('a stage that is idle is rolled back at once, one that runs when its step ends', () => {
  const { core, calls } = recorded({ devices: [0, 1], batch: 2 })
  const text = core.addInput()!
  core.revise(text, [1, 2, 3, 4])
  core.ran(core.next(0)!, 0)
  const above = core.next(1)!
  core.ran(core.next(0)!, 0)
  core.revise(text, [1])
  assert.deepEqual(calls.splice(0), [`remove 0 ${text.slot} 1`])
  assert.deepEqual(text.computed, [1, 0])
  core.ran(above, 0)
  assert.deepEqual(calls, [`remove 1 ${text.slot} 1`])
  assert.deepEqual(text.computed, [1, 1])
})

test('what waits for the end of a step is done in the order in which it was asked for', () => {
  const { core, calls } = recorded({ slots: 3, batch: 4 })
  const text = core.addInput()!
  core.revise(text, [1, 2, 3, 4, 5])
  core.ran(core.next()!, 0)
  const step = core.next()!
  const reply = core.addSharing(text, [1, 2, 3, 4])!
  core.revise(text, [1])
  core.remove(reply)
  assert.deepEqual(calls, [])
  core.ran(step, 0)
  assert.deepEqual(calls, [
    `share 0 ${text.slot} ${reply.slot} 0..3`,
    `remove 0 ${text.slot} 1`,
    `remove 0 ${reply.slot} 0`,
  ])
})

test('a slot is free when every stage has let its rows go', () => {
  const { core, calls } = recorded({ devices: [0, 1], slots: 1 })
  const sequence = core.add([1, 2])!
  core.ran(core.next(0)!, 0)
  const above = core.next(1)!
  core.remove(sequence)
  assert.deepEqual(calls, ['remove 0 0 0'])
  assert.deepEqual([core.freeSlots, core.leavingSlots], [0, 1])
  assert.equal(core.add([3]), undefined)
  core.aborted(above)
  assert.deepEqual([core.freeSlots, core.leavingSlots], [1, 0])
})

test('rows in flight are told, and rows of others are not', () => {
  const { core } = recorded()
  const [first, second] = [core.add([1])!, core.addInput()!]
  const step = core.next()!
  assert.deepEqual([core.inFlight(first), core.inFlight(second)], [true, false])
  core.ran(step, 0)
  assert.equal(core.inFlight(first), false)
})

test('rows speak when they leave the last stage', () => {
  const { core } = recorded({ devices: [0, 0] })
  const sequence = core.add([1, 2], { arrival: 5 })!
  assert.equal(sequence.lastOutputAt, 5)
  core.ran(core.next()!, 7)
  assert.equal(sequence.lastOutputAt, 5)
  core.ran(core.next()!, 9)
  assert.equal(sequence.lastOutputAt, 9)
  core.decide(sequence, 3)
  const step = core.next()!
  core.replace(sequence, 3)
  core.ran(step, 11)
  assert.equal(sequence.lastOutputAt, 9)
})

// --- cells ----------------------------------------------------------------------------------------------------------

test('cells are booked when a step begins, and free at once when rows are given up', () => {
  const { core } = recorded({ cells: 20 })
  const sequence = core.add([1, 2, 3, 4])!
  const step = core.next()!
  assert.equal(core.cells.used, 4)
  core.aborted(step)
  assert.equal(core.cells.used, 0)
  const again = core.next()!
  core.remove(sequence)
  assert.equal(core.cells.used, 0)
  core.ran(again, 0)
  assert.equal(core.cells.used, 0)
})

test('only stage 0 takes cells, shared rows take them once', () => {
  const { core } = recorded({ devices: [0, 0], slots: 3 })
  const sequence = core.add([1, 2, 3, 4])!
  runAll(core)
  assert.equal(core.cells.used, 4)
  const fork = core.addLookahead(sequence, 3, [9])!
  assert.equal(core.cells.used, 4)
  assert.equal(core.cells.rows(fork.slot), 3)
  runAll(core)
  assert.equal(core.cells.used, 5)
})

test('a plan keeps to the cells there are, and without any only later stages run', () => {
  const { core } = recorded({ devices: [0, 0] })
  core.add([1, 2, 3, 4])
  assert.equal(core.plan(0, 0, 3)!.rows[0]!.to, 3)
  assert.equal(core.plan(0, 0, 0), undefined)
  core.ran(core.next()!, 0)
  core.add([5, 6])
  assert.equal(core.plan(0, 0, 0)!.stage, 1)
})

// --- slots ----------------------------------------------------------------------------------------------------------

test('replies take the lowest free slot, everything else the highest', () => {
  const { core } = recorded({ slots: 4 })
  const reply = core.add([1, 2])!
  assert.equal(reply.slot, 0)
  assert.equal(core.add([1], { background: true })!.slot, 3)
  assert.equal(core.addInput()!.slot, 2)
  core.remove(reply)
  assert.equal(core.add([1])!.slot, 0)
  assert.equal(core.add([1])!.slot, 1)
})

// --- other continuations --------------------------------------------------------------------------------------------

test('other continuations share what is computed, and what is not runs once for all of them', () => {
  const { core, calls } = recorded({ slots: 4, batch: 4 })
  const parent = core.add([1, 2, 3, 4, 5, 6])!
  core.ran(core.next()!, 0)
  core.append(parent, [7])
  const [one, two] = [core.addAlternative(parent, [8, 9])!, core.addAlternative(parent, [9])!]
  assert.deepEqual(calls, [`share 0 0 ${one.slot} 0..4`, `share 0 0 ${two.slot} 0..4`])
  assert.deepEqual(one.tokens, [1, 2, 3, 4, 5, 6, 8, 9])
  const shared = core.next()!
  assert.deepEqual(shared.rows[0]!.shared, [
    { slot: one.slot, end: 6 },
    { slot: two.slot, end: 6 },
  ])
  core.ran(shared, 0)
  assert.deepEqual([parent.computed, one.computed, two.computed], [[7], [7], [6]])
  assert.equal(core.cells.used, 8)
})

test("when the tail is wrong and another continuation right, its rows become the reply's own", () => {
  const { core, calls } = recorded({ slots: 4 })
  const sequence = core.add([1, 2])!
  core.append(sequence, [3])
  const wrong = core.addAlternative(sequence, [4])!
  const right = core.addAlternative(sequence, [5, 6])!
  const slots = { old: sequence.slot, right: right.slot, wrong: wrong.slot }
  core.ran(core.next()!, 0)
  assert.equal(core.decide(sequence, 5), 'alternative')
  assert.deepEqual(sequence.tokens, [1, 2, 5, 6])
  assert.deepEqual([sequence.slot, sequence.committed, sequence.computed], [slots.right, 3, [4]])
  assert.equal(core.sequences.size, 1)
  assert.deepEqual(calls, [`remove 0 ${slots.wrong} 0`, `remove 0 ${slots.old} 0`])
  assert.equal(core.freeSlots, 3)
  assert.equal(core.cells.used, 4)
  // Its further guesses are decided like any tail.
  assert.equal(core.decide(sequence, 6), 'confirmed')
})

test('when the tail is right, or all are wrong, the other continuations go', () => {
  for (const [token, verdict] of [
    [3, 'confirmed'],
    [7, 'replaced'],
  ] as const) {
    const { core } = recorded()
    const sequence = core.add([1, 2])!
    core.append(sequence, [3])
    core.addAlternative(sequence, [4])
    const { slot } = sequence
    core.ran(core.next()!, 0)
    assert.equal(core.decide(sequence, token), verdict)
    assert.equal(sequence.slot, slot)
    assert.equal(core.freeSlots, 1)
  }
})

test('rows that run for a reply or for the continuation that wins are given up, and neither is mixed with the other', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { core, calls } = recorded({ devices: [0, 1], slots: 3 })
    const sequence = core.add([1, 2])!
    core.append(sequence, [3])
    const right = core.addAlternative(sequence, [5])!
    const slots = { old: sequence.slot, right: right.slot }
    core.ran(core.next(0)!, 0)
    core.ran(core.next(1)!, 0)
    core.append(sequence, [4])
    core.append(right, [6, 7])
    const below = core.next(0)!
    assert.equal(core.cells.used, 7)
    core.decide(sequence, 5)
    assert.deepEqual(sequence.tokens, [1, 2, 5, 6, 7])
    assert.deepEqual(sequence.computed, [3, 3])
    assert.equal(core.cells.used, 3)
    core[end](below, 0)
    assert.deepEqual(sequence.computed, [3, 3])
    assert.ok(calls.includes(`remove 0 ${slots.right} 3`), 'its rows that ran')
    assert.ok(calls.includes(`remove 0 ${slots.old} 0`))
    const again = core.next(0)!
    assert.deepEqual([again.rows[0]!.slot, again.rows[0]!.from, again.rows[0]!.to], [slots.right, 3, 5])
  }
})

test('a continuation that is born while rows run has them when they are there', () => {
  for (const end of ['ran', 'aborted'] as const) {
    for (const before of [0, 2]) {
      const { core, calls } = recorded({ batch: 2 })
      const parent = core.add([1, 2, 3, 4])!
      if (before > 0) core.ran(core.next()!, 0)
      const step = core.next()!
      core.append(parent, [5])
      const branch = core.addAlternative(parent, [6])!
      core[end](step, 0)
      const held = end === 'ran' ? before + 2 : before
      assert.deepEqual(branch.computed, [held])
      assert.equal(core.cells.rows(branch.slot), held)
      const shares = calls.filter((call) => call.startsWith('share'))
      const wanted = [
        ...(before > 0 ? ['share 0 0 1 0..2'] : []),
        ...(end === 'ran' ? [`share 0 0 1 ${before}..${held}`] : []),
      ]
      assert.deepEqual(shares, wanted)
    }
  }
})

test('a continuation is dropped with its parent, also while shared rows run', () => {
  const { core, calls } = recorded({ slots: 2 })
  const parent = core.add([1, 2])!
  const branch = core.addAlternative(parent, [3])!
  const step = core.next()!
  core.remove(parent)
  assert.equal(core.has(branch), false)
  core.ran(step, 0)
  assert.equal(core.freeSlots, 2)
  assert.deepEqual([...calls].sort(), ['remove 0 0 0', 'remove 0 1 0'])
})

test('a step that is aborted takes shared rows from everybody', () => {
  const { core, calls } = recorded({ slots: 2, batch: 1 })
  const parent = core.add([1, 2])!
  const branch = core.addAlternative(parent, [3])!
  core.ran(core.next()!, 0)
  core.aborted(core.next()!)
  assert.deepEqual(calls, ['remove 0 0 1', 'remove 0 1 1'])
  assert.deepEqual([parent.computed, branch.computed], [[1], [1]])
})

test('there are no other continuations where slots do not share cells, or where none is free', () => {
  const apart = recorded({ unified: false })
  assert.equal(apart.core.addAlternative(apart.core.add([1])!, [2]), undefined)
  const full = recorded({ slots: 1 })
  assert.equal(full.core.addAlternative(full.core.add([1])!, [2]), undefined)
})

test('a token that an exit makes final stays, and other continuations from before it have lost', () => {
  const { core } = recorded({ devices: [0, 0] })
  const sequence = core.add([1, 2])!
  core.ran(core.next()!, 0)
  core.append(sequence, [3])
  core.addAlternative(sequence, [4])
  assert.equal(core.commit(sequence, 3), 'confirmed')
  assert.equal(core.alternatives(sequence).length, 0)
  assert.throws(() => core.replace(sequence, 2, [4]), RangeError)
  assert.equal(core.commit(sequence, 5), 'extended')
  core.append(sequence, [6])
  assert.equal(core.commit(sequence, 7), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 3, 5, 7])
  runAll(core)
  assert.deepEqual(sequence.computed, [5, 5])
})

// --- rows outside the caches ----------------------------------------------------------------------------------------

function kept(tokens: number[], stages = 1): SavedRows {
  return {
    cacheNamespace: '',
    tokens,
    states: Array.from({ length: stages }, () => ({ bytes: 1 })),
    bytes: 1,
    pinned: false,
    used: 0,
  }
}

test('kept rows come back as far as the tokens agree, without the last row of the prompt', () => {
  const { core, calls } = recorded({ devices: [0, 0], slots: 3 })
  const reply = core.addRestored(kept([1, 2, 3, 9], 2), [1, 2, 3, 4])!
  assert.deepEqual(reply.computed, [3, 3])
  assert.deepEqual(calls, ['restore 0 0', 'remove 0 0 3', 'restore 1 0', 'remove 1 0 3'])
  assert.equal(core.cells.used, 3)
  const same = core.addRestored(kept([1, 2, 3], 2), [1, 2, 3])!
  assert.deepEqual(same.computed, [2, 2])
  const text = core.addInput({ holder: kept([1, 2, 3, 4], 2), length: 3 })!
  assert.deepEqual(
    [text.tokens, text.computed],
    [
      [1, 2, 3],
      [3, 3],
    ],
  )
})

test('kept rows for which there is no room are computed again', () => {
  const { core, calls } = recorded({ cells: 6, slots: 3 })
  core.add([1, 2, 3])
  core.ran(core.next()!, 0)
  // Four rows would be put back before one of them leaves.
  assert.deepEqual(core.addRestored(kept([1, 2, 3, 4]), [1, 2, 3])!.computed, [0])
  assert.deepEqual(core.addInput({ holder: kept([1, 2, 3, 4]), length: 3 })!.computed, [0])
  assert.deepEqual(calls, [])
})

test('an open text begins with what another sequence has computed of it', () => {
  const { core, calls } = recorded({ slots: 3, batch: 2 })
  const reply = core.add([1, 2, 3, 4])!
  core.ran(core.next()!, 0)
  const text = core.addInput({ holder: reply, length: 3 })!
  assert.deepEqual([text.tokens, text.computed, text.committed], [[1, 2, 3], [2], 0])
  assert.deepEqual(calls, [`share 0 ${reply.slot} ${text.slot} 0..2`])
})

test('rows are saved that have left the last stage', () => {
  const { core, calls } = recorded({ devices: [0, 0], slots: 3 })
  const reply = core.add([1, 2])!
  core.ran(core.next()!, 0)
  assert.throws(() => core.save(reply, () => {}), RangeError)
  runAll(core)
  core.decide(reply, 3)
  core.ran(core.next()!, 0)
  core.addLookahead(reply, 1, [9])
  core.dropUnfinishedRows(reply)
  assert.equal(core.children(reply).length, 0)
  assert.deepEqual(
    [reply.tokens, reply.computed],
    [
      [1, 2, 3],
      [2, 2],
    ],
  )
  calls.length = 0
  core.save(reply, (states) => calls.push(`${states.length} states`))
  assert.deepEqual(calls, [`save 0 ${reply.slot}`, `save 1 ${reply.slot}`, '2 states'])
})

test('a stage that runs is saved when it ends, also of a sequence that is gone by then', () => {
  const { core, calls } = recorded({ devices: [0, 1], slots: 3 })
  const reply = core.add([1, 2])!
  runAll(core)
  core.add([5, 6])
  const step = core.next()!
  calls.length = 0
  core.save(reply, (states) => calls.push(`${states.length} states`))
  core.remove(reply)
  assert.deepEqual(calls, [`save 1 ${reply.slot}`, `remove 1 ${reply.slot} 0`])
  core.ran(step, 0)
  assert.deepEqual(calls.slice(2), [`save 0 ${reply.slot}`, '2 states', `remove 0 ${reply.slot} 0`])
})
