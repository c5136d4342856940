import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SteppingTable } from '../../../test/fixtures/stepping-table.ts'
import type { Costs } from '../cost/costs.ts'
import type { Caches } from '../kv/caches.ts'
import { type CheckpointLimits, defaultCheckpoints } from '../kv/checkpoint.ts'
import type { SavedRows } from '../kv/saved-rows.ts'
import { fullAttention, recurrentState, type SequenceMemory } from '../kv/sequence-memory.ts'

interface Options {
  /** Per stage its device. */
  devices?: number[]
  slots?: number
  cells?: number
  unified?: boolean
  batch?: number
  memory?: SequenceMemory
  checkpoints?: CheckpointLimits
}

/** Rows that cost nothing, so that whatever can run together does. */
const free: Costs = { rows: () => 1, within: () => 1000 }

/** A table over caches that only write down what was done to them. */
function recorded(options: Options = {}) {
  const calls: string[] = []
  const caches: Caches = {
    remove: (stage, slot, from) => calls.push(`remove ${stage} ${slot} ${from}`),
    share: (stage, source, to, from, end) => calls.push(`share ${stage} ${source} ${to} ${from}..${end}`),
    save: (stage, slot) => ({ bytes: calls.push(`save ${stage} ${slot}`) }),
    restore: (stage, slot) => calls.push(`restore ${stage} ${slot}`),
    saveCheckpoint: (stage, slot) => ({ bytes: calls.push(`checkpoint ${stage} ${slot}`) }),
    restoreCheckpoint: (stage, slot, _, rows) => calls.push(`go back ${stage} ${slot} ${rows}`),
  }
  const { batch = 100, unified = true, ...rest } = options
  const limits = { batch, stepMs: 1000 }
  const defaults = { devices: [0], slots: 2, cells: 1000, memory: fullAttention(unified) }
  const table = new SteppingTable({ ...defaults, ...rest, caches, limits, costs: free })
  return { table, calls }
}

function runAll(table: SteppingTable): void {
  for (let ran = true; ran; ) {
    ran = false
    for (const device of [0, 1]) {
      const step = table.next(device)
      if (step) table.ran(step, 0)
      ran ||= step !== undefined
    }
  }
}

test('a full table takes no sequence and no fork', () => {
  const { table } = recorded({ slots: 1 })
  const sequence = table.add([1, 2, 3])!
  assert.equal(table.add([1]), undefined)
  runAll(table)
  assert.equal(table.addLookahead(sequence, 2, [5]), undefined)
  assert.equal(table.sequences.size, 1)
})

test('the prompt is copied: what the caller does with its array afterwards changes nothing', () => {
  const { table } = recorded()
  const prompt = [1, 2, 3]
  const sequence = table.add(prompt)!
  prompt.push(4)
  assert.deepEqual(sequence.tokens, [1, 2, 3])
})

test('a decision extends, confirms or replaces, and a replaced tail leaves every stage that had computed it', () => {
  const { table, calls } = recorded({ devices: [0, 0] })
  const sequence = table.add([1, 2])!
  runAll(table)
  assert.equal(table.decide(sequence, 3), 'extended')
  table.append(sequence, [4, 5, 6])
  runAll(table)
  assert.equal(table.decide(sequence, 4), 'confirmed')
  assert.deepEqual(calls, [])
  assert.equal(table.decide(sequence, 9), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 3, 4, 9])
  assert.deepEqual(sequence.computed, [4, 4])
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 4`, `remove 1 ${sequence.slot} 4`])
})

test('a tail that no stage has computed is replaced without touching a cache', () => {
  const { table, calls } = recorded()
  const sequence = table.add([1, 2])!
  runAll(table)
  table.append(sequence, [3, 4])
  assert.equal(table.decide(sequence, 7), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 7])
  assert.deepEqual(calls, [])
})

test('committed tokens cannot be replaced', () => {
  const { table } = recorded()
  const sequence = table.add([1, 2])!
  runAll(table)
  table.decide(sequence, 3)
  assert.throws(() => table.replace(sequence, 2, [9]), RangeError)
  assert.deepEqual(sequence.tokens, [1, 2, 3])
})

test('a fork shares computed rows in every stage, and takes no other fork point', () => {
  const { table, calls } = recorded({ devices: [0, 0], batch: 2 })
  const parent = table.add([1, 2, 3, 4])!
  parent.pausedAt = 2
  table.ran(table.next()!, 0)
  assert.throws(() => table.addLookahead(parent, 2, [9]), RangeError, 'the last stage has not computed it')
  runAll(table)
  const fork = table.addLookahead(parent, 2, [9, 8])!
  assert.deepEqual(fork.tokens, [1, 2, 9, 8])
  assert.deepEqual(fork.computed, [2, 2])
  assert.deepEqual(calls, [`share 0 ${parent.slot} ${fork.slot} 0..2`, `share 1 ${parent.slot} ${fork.slot} 0..2`])
  parent.pausedAt = Number.POSITIVE_INFINITY
  runAll(table)
  table.append(parent, [5])
  runAll(table)
  assert.throws(() => table.addLookahead(parent, 5, []), RangeError, 'a guess may be rolled back under the fork')
})

test('a sequence that ends takes its forks along', () => {
  const { table } = recorded()
  const parent = table.add([1, 2])!
  runAll(table)
  const fork = table.addLookahead(parent, 1, [3])!
  table.remove(parent)
  assert.equal(table.has(fork), false)
  assert.equal(table.freeSlots, 2)
})

test('removed under a running step: the rows and the slot go when it ends, not before', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { table, calls } = recorded({ slots: 1 })
    const sequence = table.add([1, 2, 3])!
    const step = table.next()!
    table.remove(sequence)
    table.remove(sequence)
    assert.deepEqual(calls, [])
    assert.equal(table.add([4]), undefined)
    table[end](step, 0)
    assert.equal(calls.at(-1), 'remove 0 0 0')
    assert.equal(table.freeSlots, 1)
    assert.deepEqual(table.add([4])!.computed, [0])
  }
})

test('an aborted step counts for nothing and runs again', () => {
  const { table, calls } = recorded()
  const sequence = table.add([1, 2, 3])!
  const step = table.next()!
  table.aborted(step)
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 0`])
  assert.deepEqual(table.next()!.rows, step.rows)
})

test('without work there is no step, and a sequence can be removed at once', () => {
  const { table, calls } = recorded()
  const sequence = table.add([1])!
  runAll(table)
  assert.equal(table.next(), undefined)
  table.remove(sequence)
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 0`])
})

test('a text that is revised keeps what agrees, and a reply branches off it without its last row', () => {
  const { table, calls } = recorded({ devices: [0, 0], slots: 2 })
  const text = table.addInput()!
  table.revise(text, [1, 2, 3, 4])
  runAll(table)
  table.revise(text, [1, 2, 9])
  assert.deepEqual(text.computed, [2, 2])
  assert.deepEqual(calls.splice(0), [`remove 0 ${text.slot} 2`, `remove 1 ${text.slot} 2`])
  runAll(table)
  const reply = table.addSharing(text, [1, 2, 9])!
  assert.deepEqual(reply.computed, [2, 2], 'the last row has to run: its logits are wanted')
  assert.equal(table.addSharing(text, [1]), undefined, 'no slot is left')
  table.revise(text, [7])
  assert.deepEqual(reply.tokens, [1, 2, 9])
  assert.deepEqual(reply.computed, [2, 2])
})

test('a reply that shares nothing with the text starts from nothing', () => {
  const { table, calls } = recorded()
  const text = table.addInput()!
  table.revise(text, [1, 2])
  runAll(table)
  assert.deepEqual(table.addSharing(text, [3, 4])!.computed, [0])
  assert.deepEqual(calls, [])
})

test('a reply takes over only what has left the last stage', () => {
  const { table, calls } = recorded({ devices: [0, 0], batch: 4 })
  const source = table.add([1, 2, 3, 4, 5, 6])!
  table.ran(table.next()!, 0)
  assert.deepEqual(table.addSharing(source, [1, 2, 3, 4, 5, 6])!.computed, [0, 0])
  assert.deepEqual(calls, [])
})

// --- steps in flight ------------------------------------------------------------------------------------------------

test('devices run at the same time, the stages of one in turn', () => {
  const { table } = recorded({ devices: [0, 1, 0], batch: 4 })
  table.add([1, 2, 3, 4, 5, 6, 7, 8])
  const first = table.next(0)!
  assert.equal(table.next(0), undefined, 'the device is busy')
  assert.equal(table.next(1), undefined, 'nothing has left stage 0')
  table.ran(first, 0)
  const above = table.next(1)!
  const below = table.next(0)!
  assert.deepEqual([above.stage, below.stage], [1, 0])
  assert.deepEqual(table.running, [below, above])
  table.ran(above, 0)
  assert.equal(table.next(0), undefined, 'stage 2 waits for its device, which runs stage 0')
  table.ran(below, 0)
  assert.equal(table.next(0)!.stage, 2)
})

test('a rollback while rows run: those before it count, the others leave the cache when the step ends', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { table, calls } = recorded({ devices: [0, 1] })
    const text = table.addInput()!
    table.revise(text, [1, 2, 3, 4])
    const step = table.next()!
    table.revise(text, [1, 2, 9])
    assert.deepEqual(calls, [])
    table[end](step, 0)
    assert.deepEqual(text.computed, end === 'ran' ? [2, 0] : [0, 0])
    assert.equal(calls.at(-1), `remove 0 ${text.slot} 2`)
    assert.equal(table.next()!.rows[0]!.from, end === 'ran' ? 2 : 0)
  }
})

test('what was rolled back while it ran stays rolled back, whatever was written in its place', () => {
  const { table } = recorded()
  const text = table.addInput()!
  table.revise(text, [1, 2, 3, 4, 5])
  const step = table.next()!
  table.revise(text, [1, 2, 9, 9, 9])
  table.revise(text, [1, 2, 9, 9, 8])
  table.ran(step, 0)
  assert.deepEqual(text.computed, [2])
})

test('a rollback below the rows that run: nothing of them counts', () => {
  const { table, calls } = recorded({ batch: 3 })
  const text = table.addInput()!
  table.revise(text, [1, 2, 3, 4, 5, 6])
  table.ran(table.next()!, 0)
  const step = table.next()!
  table.revise(text, [1, 7])
  assert.deepEqual(text.computed, [1])
  table.ran(step, 0)
  assert.deepEqual(text.computed, [1])
  assert.deepEqual(calls, [`remove 0 ${text.slot} 1`])
})

test('a stage that is idle is rolled back at once, one that runs when its step ends', () => {
  const { table, calls } = recorded({ devices: [0, 1], batch: 2 })
  const text = table.addInput()!
  table.revise(text, [1, 2, 3, 4])
  table.ran(table.next(0)!, 0)
  const above = table.next(1)!
  table.ran(table.next(0)!, 0)
  table.revise(text, [1])
  assert.deepEqual(calls.splice(0), [`remove 0 ${text.slot} 1`])
  assert.deepEqual(text.computed, [1, 0])
  table.ran(above, 0)
  assert.deepEqual(calls, [`remove 1 ${text.slot} 1`])
  assert.deepEqual(text.computed, [1, 1])
})

test('what waits for the end of a step is done in the order in which it was asked for', () => {
  const { table, calls } = recorded({ slots: 3, batch: 4 })
  const text = table.addInput()!
  table.revise(text, [1, 2, 3, 4, 5])
  table.ran(table.next()!, 0)
  const step = table.next()!
  const reply = table.addSharing(text, [1, 2, 3, 4])!
  table.revise(text, [1])
  table.remove(reply)
  assert.deepEqual(calls, [])
  table.ran(step, 0)
  assert.deepEqual(calls, [
    `share 0 ${text.slot} ${reply.slot} 0..3`,
    `remove 0 ${text.slot} 1`,
    `remove 0 ${reply.slot} 0`,
  ])
})

test('a slot is free when every stage has let its rows go', () => {
  const { table, calls } = recorded({ devices: [0, 1], slots: 1 })
  const sequence = table.add([1, 2])!
  table.ran(table.next(0)!, 0)
  const above = table.next(1)!
  table.remove(sequence)
  assert.deepEqual(calls, ['remove 0 0 0'])
  assert.deepEqual([table.freeSlots, table.leavingSlots], [0, 1])
  assert.equal(table.add([3]), undefined)
  table.aborted(above)
  assert.deepEqual([table.freeSlots, table.leavingSlots], [1, 0])
})

test('rows in flight are told, and rows of others are not', () => {
  const { table } = recorded()
  const [first, second] = [table.add([1])!, table.addInput()!]
  const step = table.next()!
  assert.deepEqual([table.inFlight(first), table.inFlight(second)], [true, false])
  table.ran(step, 0)
  assert.equal(table.inFlight(first), false)
})

test('rows speak when they leave the last stage', () => {
  const { table } = recorded({ devices: [0, 0] })
  const sequence = table.add([1, 2], { arrival: 5 })!
  assert.equal(sequence.lastOutputAt, 5)
  table.ran(table.next()!, 7)
  assert.equal(sequence.lastOutputAt, 5)
  table.ran(table.next()!, 9)
  assert.equal(sequence.lastOutputAt, 9)
  table.decide(sequence, 3)
  const step = table.next()!
  table.replace(sequence, 3)
  table.ran(step, 11)
  assert.equal(sequence.lastOutputAt, 9)
})

// --- cells ----------------------------------------------------------------------------------------------------------

test('cells are booked when a step begins, and free at once when rows are given up', () => {
  const { table } = recorded({ cells: 20 })
  const sequence = table.add([1, 2, 3, 4])!
  const step = table.next()!
  assert.equal(table.cells.used, 4)
  table.aborted(step)
  assert.equal(table.cells.used, 0)
  const again = table.next()!
  table.remove(sequence)
  assert.equal(table.cells.used, 0)
  table.ran(again, 0)
  assert.equal(table.cells.used, 0)
})

test('only stage 0 takes cells, shared rows take them once', () => {
  const { table } = recorded({ devices: [0, 0], slots: 3 })
  const sequence = table.add([1, 2, 3, 4])!
  runAll(table)
  assert.equal(table.cells.used, 4)
  const fork = table.addLookahead(sequence, 3, [9])!
  assert.equal(table.cells.used, 4)
  assert.equal(table.cells.rows(fork.slot), 3)
  runAll(table)
  assert.equal(table.cells.used, 5)
})

test('a plan keeps to the cells there are, and without any only later stages run', () => {
  const { table } = recorded({ devices: [0, 0] })
  table.add([1, 2, 3, 4])
  assert.equal(table.plan(0, 0, 3)!.rows[0]!.to, 3)
  assert.equal(table.plan(0, 0, 0), undefined)
  table.ran(table.next()!, 0)
  table.add([5, 6])
  assert.equal(table.plan(0, 0, 0)!.stage, 1)
})

// --- slots ----------------------------------------------------------------------------------------------------------

test('replies take the lowest free slot, everything else the highest', () => {
  const { table } = recorded({ slots: 4 })
  const reply = table.add([1, 2])!
  assert.equal(reply.slot, 0)
  assert.equal(table.add([1], { background: true })!.slot, 3)
  assert.equal(table.addInput()!.slot, 2)
  table.remove(reply)
  assert.equal(table.add([1])!.slot, 0)
  assert.equal(table.add([1])!.slot, 1)
})

// --- other continuations --------------------------------------------------------------------------------------------

test('other continuations share what is computed, and what is not runs once for all of them', () => {
  const { table, calls } = recorded({ slots: 4, batch: 4 })
  const parent = table.add([1, 2, 3, 4, 5, 6])!
  table.ran(table.next()!, 0)
  table.append(parent, [7])
  const [one, two] = [table.addAlternative(parent, [8, 9])!, table.addAlternative(parent, [9])!]
  assert.deepEqual(calls, [`share 0 0 ${one.slot} 0..4`, `share 0 0 ${two.slot} 0..4`])
  assert.deepEqual(one.tokens, [1, 2, 3, 4, 5, 6, 8, 9])
  const shared = table.next()!
  assert.deepEqual(shared.rows[0]!.shared, [
    { slot: one.slot, end: 6 },
    { slot: two.slot, end: 6 },
  ])
  table.ran(shared, 0)
  assert.deepEqual([parent.computed, one.computed, two.computed], [[7], [7], [6]])
  assert.equal(table.cells.used, 8)
})

test("when the tail is wrong and another continuation right, its rows become the reply's own", () => {
  const { table, calls } = recorded({ slots: 4 })
  const sequence = table.add([1, 2])!
  table.append(sequence, [3])
  const wrong = table.addAlternative(sequence, [4])!
  const right = table.addAlternative(sequence, [5, 6])!
  const slots = { old: sequence.slot, right: right.slot, wrong: wrong.slot }
  table.ran(table.next()!, 0)
  assert.equal(table.decide(sequence, 5), 'alternative')
  assert.deepEqual(sequence.tokens, [1, 2, 5, 6])
  assert.deepEqual([sequence.slot, sequence.committed, sequence.computed], [slots.right, 3, [4]])
  assert.equal(table.sequences.size, 1)
  assert.deepEqual(calls, [`remove 0 ${slots.wrong} 0`, `remove 0 ${slots.old} 0`])
  assert.equal(table.freeSlots, 3)
  assert.equal(table.cells.used, 4)
  // Its further guesses are decided like any tail.
  assert.equal(table.decide(sequence, 6), 'confirmed')
})

test('when the tail is right, or all are wrong, the other continuations go', () => {
  for (const [token, verdict] of [
    [3, 'confirmed'],
    [7, 'replaced'],
  ] as const) {
    const { table } = recorded()
    const sequence = table.add([1, 2])!
    table.append(sequence, [3])
    table.addAlternative(sequence, [4])
    const { slot } = sequence
    table.ran(table.next()!, 0)
    assert.equal(table.decide(sequence, token), verdict)
    assert.equal(sequence.slot, slot)
    assert.equal(table.freeSlots, 1)
  }
})

test('rows that run for a reply or for the continuation that wins are given up, and neither is mixed with the other', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { table, calls } = recorded({ devices: [0, 1], slots: 3 })
    const sequence = table.add([1, 2])!
    table.append(sequence, [3])
    const right = table.addAlternative(sequence, [5])!
    const slots = { old: sequence.slot, right: right.slot }
    table.ran(table.next(0)!, 0)
    table.ran(table.next(1)!, 0)
    table.append(sequence, [4])
    table.append(right, [6, 7])
    const below = table.next(0)!
    assert.equal(table.cells.used, 7)
    table.decide(sequence, 5)
    assert.deepEqual(sequence.tokens, [1, 2, 5, 6, 7])
    assert.deepEqual(sequence.computed, [3, 3])
    assert.equal(table.cells.used, 3)
    table[end](below, 0)
    assert.deepEqual(sequence.computed, [3, 3])
    assert.ok(calls.includes(`remove 0 ${slots.right} 3`), 'its rows that ran')
    assert.ok(calls.includes(`remove 0 ${slots.old} 0`))
    const again = table.next(0)!
    assert.deepEqual([again.rows[0]!.slot, again.rows[0]!.from, again.rows[0]!.to], [slots.right, 3, 5])
  }
})

test('a continuation that is born while rows run has them when they are there', () => {
  for (const end of ['ran', 'aborted'] as const) {
    for (const before of [0, 2]) {
      const { table, calls } = recorded({ batch: 2 })
      const parent = table.add([1, 2, 3, 4])!
      if (before > 0) table.ran(table.next()!, 0)
      const step = table.next()!
      table.append(parent, [5])
      const branch = table.addAlternative(parent, [6])!
      table[end](step, 0)
      const held = end === 'ran' ? before + 2 : before
      assert.deepEqual(branch.computed, [held])
      assert.equal(table.cells.rows(branch.slot), held)
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
  const { table, calls } = recorded({ slots: 2 })
  const parent = table.add([1, 2])!
  const branch = table.addAlternative(parent, [3])!
  const step = table.next()!
  table.remove(parent)
  assert.equal(table.has(branch), false)
  table.ran(step, 0)
  assert.equal(table.freeSlots, 2)
  assert.deepEqual([...calls].sort(), ['remove 0 0 0', 'remove 0 1 0'])
})

test('a step that is aborted takes shared rows from everybody', () => {
  const { table, calls } = recorded({ slots: 2, batch: 1 })
  const parent = table.add([1, 2])!
  const branch = table.addAlternative(parent, [3])!
  table.ran(table.next()!, 0)
  table.aborted(table.next()!)
  assert.deepEqual(calls, ['remove 0 0 1', 'remove 0 1 1'])
  assert.deepEqual([parent.computed, branch.computed], [[1], [1]])
})

test('there are no other continuations where slots do not share cells, or where none is free', () => {
  const apart = recorded({ unified: false })
  assert.equal(apart.table.addAlternative(apart.table.add([1])!, [2]), undefined)
  const full = recorded({ slots: 1 })
  assert.equal(full.table.addAlternative(full.table.add([1])!, [2]), undefined)
})

test('a token that an exit makes final stays, and other continuations from before it have lost', () => {
  const { table } = recorded({ devices: [0, 0] })
  const sequence = table.add([1, 2])!
  table.ran(table.next()!, 0)
  table.append(sequence, [3])
  table.addAlternative(sequence, [4])
  assert.equal(table.commit(sequence, 3), 'confirmed')
  assert.equal(table.alternatives(sequence).length, 0)
  assert.throws(() => table.replace(sequence, 2, [4]), RangeError)
  assert.equal(table.commit(sequence, 5), 'extended')
  table.append(sequence, [6])
  assert.equal(table.commit(sequence, 7), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 3, 5, 7])
  runAll(table)
  assert.deepEqual(sequence.computed, [5, 5])
})

// --- rows outside the caches ----------------------------------------------------------------------------------------

function kept(tokens: number[], stages = 1): SavedRows {
  return {
    cacheNamespace: '',
    tokens,
    states: Array.from({ length: stages }, () => ({ bytes: 1 })),
    bytes: 1,
    checkpoints: [],
    pinned: false,
    used: 0,
  }
}

test('kept rows come back as far as the tokens agree, without the last row of the prompt', () => {
  const { table, calls } = recorded({ devices: [0, 0], slots: 3 })
  const reply = table.addRestored(kept([1, 2, 3, 9], 2), [1, 2, 3, 4])!
  assert.deepEqual(reply.computed, [3, 3])
  assert.deepEqual(calls, ['restore 0 0', 'remove 0 0 3', 'restore 1 0', 'remove 1 0 3'])
  assert.equal(table.cells.used, 3)
  const same = table.addRestored(kept([1, 2, 3], 2), [1, 2, 3])!
  assert.deepEqual(same.computed, [2, 2])
  const text = table.addInput({ holder: kept([1, 2, 3, 4], 2), length: 3 })!
  assert.deepEqual(
    [text.tokens, text.computed],
    [
      [1, 2, 3],
      [3, 3],
    ],
  )
})

test('kept rows for which there is no room are computed again', () => {
  const { table, calls } = recorded({ cells: 6, slots: 3 })
  table.add([1, 2, 3])
  table.ran(table.next()!, 0)
  // Four rows would be put back before one of them leaves.
  assert.deepEqual(table.addRestored(kept([1, 2, 3, 4]), [1, 2, 3])!.computed, [0])
  assert.deepEqual(table.addInput({ holder: kept([1, 2, 3, 4]), length: 3 })!.computed, [0])
  assert.deepEqual(calls, [])
})

test('an open text begins with what another sequence has computed of it', () => {
  const { table, calls } = recorded({ slots: 3, batch: 2 })
  const reply = table.add([1, 2, 3, 4])!
  table.ran(table.next()!, 0)
  const text = table.addInput({ holder: reply, length: 3 })!
  assert.deepEqual([text.tokens, text.computed, text.committed], [[1, 2, 3], [2], 0])
  assert.deepEqual(calls, [`share 0 ${reply.slot} ${text.slot} 0..2`])
})

test('rows are saved that have left the last stage', () => {
  const { table, calls } = recorded({ devices: [0, 0], slots: 3 })
  const reply = table.add([1, 2])!
  table.ran(table.next()!, 0)
  assert.throws(() => table.save(reply, () => {}), RangeError)
  runAll(table)
  table.decide(reply, 3)
  table.ran(table.next()!, 0)
  table.addLookahead(reply, 1, [9])
  table.dropUnfinishedRows(reply)
  assert.equal(table.children(reply).length, 0)
  assert.deepEqual(
    [reply.tokens, reply.computed],
    [
      [1, 2, 3],
      [2, 2],
    ],
  )
  calls.length = 0
  table.save(reply, (states) => calls.push(`${states.length} states`))
  assert.deepEqual(calls, [`save 0 ${reply.slot}`, `save 1 ${reply.slot}`, '2 states'])
})

test('a stage that runs is saved when it ends, also of a sequence that is gone by then', () => {
  const { table, calls } = recorded({ devices: [0, 1], slots: 3 })
  const reply = table.add([1, 2])!
  runAll(table)
  table.add([5, 6])
  const step = table.next()!
  calls.length = 0
  table.save(reply, (states) => calls.push(`${states.length} states`))
  table.remove(reply)
  assert.deepEqual(calls, [`save 1 ${reply.slot}`, `remove 1 ${reply.slot} 0`])
  table.ran(step, 0)
  assert.deepEqual(calls.slice(2), [`save 0 ${reply.slot}`, '2 states', `remove 0 ${reply.slot} 0`])
})

test('a recurrent memory is gone back to, and on from, at checkpoints: before the end of a long prompt, and behind it', () => {
  const checkpoints = { ...defaultCheckpoints, worthSplitting: 4, lastRows: 2 }
  const { table, calls } = recorded({ slots: 3, memory: recurrentState(0, true), checkpoints })
  const sequence = table.add([1, 2, 3, 4, 5, 6])!
  runAll(table)
  assert.deepEqual(calls, ['checkpoint 0 0', 'checkpoint 0 0'])
  assert.deepEqual(
    sequence.checkpoints.map(({ length }) => length),
    [4, 6],
  )
  calls.length = 0
  assert.deepEqual(table.addSharing(sequence, [1, 2, 3, 4, 5, 9])!.computed, [4])
  assert.deepEqual(calls, ['share 0 0 1 0..4', 'go back 0 1 4'])
  calls.length = 0
  // At its end it can be left as it is.
  assert.deepEqual(table.addSharing(sequence, [1, 2, 3, 4, 5, 6, 7])!.computed, [6])
  assert.deepEqual(calls, ['share 0 0 2 0..6'])
})

test('a text that is changed before its checkpoints is computed again from the one before, or from its beginning', () => {
  const { table, calls } = recorded({ memory: recurrentState(0, true) })
  const input = table.addInput()!
  const revised = (tokens: number[]) => {
    table.revise(input, tokens)
    const from = input.computed[0]
    runAll(table)
    return from
  }
  assert.deepEqual([revised([1, 2, 3]), revised([1, 2, 3, 4, 5])], [0, 3])
  assert.deepEqual([revised([1, 2, 3, 9]), revised([1, 8])], [3, 0])
  assert.deepEqual(calls.slice(-2), ['remove 0 1 0', 'checkpoint 0 1'])
})
