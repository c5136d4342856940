import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SteppingTable } from '../../../test/fixtures/stepping-table.ts'
import { SimulatedStages } from '../../../test/simulation.ts'
import type { Costs } from '../cost/costs.ts'
import { fullAttention } from '../kv/sequence-memory.ts'
import type { Sequence } from '../sequences/sequence.ts'
import { PrefixCache } from './prefix-cache.ts'

/** A prefix cache over simulated stages, whose rows take ten bytes each when they are kept. */
function setUp(
  options: {
    stages?: number
    slots?: number
    cells?: number
    bytes?: number
    costs?: Costs
    worthCopying?: (bytes: number) => number
  } = {},
) {
  const { stages = 1, slots = 6, cells = 200, bytes = 100_000, costs = { rows: () => 1, within: () => 1000 } } = options
  const { worthCopying = () => 0 } = options
  const caches = new SimulatedStages({ stages, slots, cells, unified: true })
  const devices = new Array<number>(stages).fill(0)
  const table = new SteppingTable({
    devices,
    slots,
    cells,
    memory: fullAttention(true),
    caches,
    limits: { batch: 100, stepMs: 1000 },
    costs,
  })
  const prefixes = new PrefixCache(table, { costs, bytes, worthCopying })
  /** Runs one step. */
  const step = () => {
    const next = table.next()
    if (next === undefined) return false
    caches.begin(next)
    caches.end(next)
    caches.settle(next)
    table.ran(next, 0)
    return true
  }
  const run = () => {
    while (step());
  }
  /** A text that is still being written, computed. */
  const text = (tokens: readonly number[], salt = 'a', gone = () => {}): Sequence => {
    const sequence = table.addInput()!
    prefixes.enter(sequence, salt, gone)
    table.revise(sequence, tokens)
    prefixes.changed(sequence)
    run()
    return sequence
  }
  /** Keeps the rows of these tokens, whose sequence ends. False when that changed nothing. */
  const keep = (tokens: readonly number[], salt = 'a', pinned = false): boolean => {
    const sequence = table.addInput()!
    table.revise(sequence, tokens)
    run()
    const before = prefixes.bytes
    if (pinned)
      table.save(sequence, (states) => prefixes.put({ cacheNamespace: salt, tokens, states, checkpoints: [], pinned }))
    else prefixes.keep(sequence, salt)
    table.remove(sequence)
    return prefixes.bytes > before
  }
  /** A request over a prompt, computed, that is over. */
  const over = (tokens: readonly number[], salt = 'a'): Sequence => {
    const sequence = table.add(tokens)!
    prefixes.enter(sequence, salt)
    run()
    table.dropUnfinishedRows(sequence)
    if (!prefixes.rest(sequence, salt)) {
      prefixes.leave(sequence)
      table.remove(sequence)
    }
    return sequence
  }
  return { table, prefixes, caches, step, run, text, keep, over }
}

/** Ten tokens that differ from those of other seeds from the first on. */
const list = (seed: number, length = 10) => Array.from({ length }, (_, i) => (seed + i) % 6)
const [a, b, c] = [list(0), list(1), list(2)]

// --- requests that are over -----------------------------------------------------------------------------------------

test('the rows of a request that is over stay where they are, and are kept outside, too', () => {
  const { prefixes, table, over } = setUp()
  const first = over(a)
  assert.deepEqual(prefixes.restingSlots, [first.slot])
  assert.deepEqual(prefixes.find('a', [...a, 1]), { holder: first, length: 10 })
  prefixes.evictResting()
  assert.equal(table.cells.used, 0)
  const kept = prefixes.find('a', [...a, 1])!
  assert.equal(kept.length, 10)
  assert.notEqual(kept.holder, first)
})

test('whoever is over gives way to one who goes on from somebody else, and before any text', () => {
  const { prefixes, table, text, over } = setUp()
  const [first, second] = [over(a), over(b)]
  prefixes.evictResting(second)
  assert.ok(!table.has(first))
  assert.ok(table.has(second))
  const written = text(c)
  prefixes.touch(second)
  assert.ok(prefixes.evictText('slots'))
  assert.ok(!table.has(second))
  assert.ok(table.has(written))
})

test('of a conversation the last turn rests; without slots to spare nobody does', () => {
  const { prefixes, table, over } = setUp({ slots: 3 })
  const first = over(a)
  const second = over([...a, ...b])
  assert.ok(!table.has(first))
  assert.deepEqual(prefixes.restingSlots, [second.slot])
  over(c)
  assert.deepEqual(prefixes.restingSlots, [second.slot])
})

test('those who rest are copied again only where the copy lacks enough rows', () => {
  const { prefixes, over } = setUp({ worthCopying: (bytes) => bytes / 50 })
  over(a)
  assert.equal(prefixes.bytes, 100)
  const more = over([...a, 1, 2])
  assert.equal(prefixes.bytes, 100)
  assert.deepEqual(prefixes.find('a', [...a, 1, 2, 3]), { holder: more, length: 12 }, 'they are there while they rest')
  over([...a, 1, 2, 3])
  assert.equal(prefixes.bytes, 130)
  prefixes.evictResting()
  assert.equal(prefixes.find('a', [...a, 1, 2, 3])!.length, 13)
})

// --- finding --------------------------------------------------------------------------------------------------------

test('the longest beginning is found, in the cache or outside of it', () => {
  const { prefixes, text, keep } = setUp()
  const short = text(a)
  keep([...a, 1, 1, 1])
  const found = prefixes.find('a', [...a, 1, 1, 5])!
  assert.equal(found.length, 12)
  assert.notEqual(found.holder, short)
  assert.deepEqual(prefixes.find('a', [...a, 2]), { holder: short, length: 10 })
  assert.equal(prefixes.find('b', a), undefined, 'another namespace')
})

test('less than eight rows are not worth it', () => {
  const { prefixes, text, keep } = setUp()
  assert.equal(keep(a.slice(0, 7)), false)
  text(a.slice(0, 8))
  assert.equal(prefixes.find('a', a)!.length, 8)
  assert.equal(prefixes.find('a', [...a.slice(0, 7), 0]), undefined)
})

test('of a running request its committed tokens are found, as far as they have left the last stage', () => {
  const { table, prefixes, step, run } = setUp({ stages: 2 })
  const request = table.add(list(0, 20))!
  table.append(request, [1, 2, 3])
  prefixes.enter(request, 'a')
  request.pausedAt = 9
  run()
  assert.equal(prefixes.find('a', list(0, 20))!.length, 9)
  request.pausedAt = Number.POSITIVE_INFINITY
  step()
  assert.equal(prefixes.find('a', list(0, 20))!.length, 9, 'stage 1 has not run')
  run()
  assert.equal(prefixes.find('a', [...list(0, 20), 1, 2, 3])!.length, 20, "guesses are nobody else's beginning")
})

test('a text that changed is found by what it is now', () => {
  const { table, prefixes, text, run } = setUp()
  const one = text(a)
  assert.equal(prefixes.find('a', a)!.holder, one)
  table.revise(one, b)
  prefixes.changed(one)
  run()
  assert.equal(prefixes.find('a', a), undefined)
  assert.equal(prefixes.find('a', b)!.holder, one)
  prefixes.leave(one)
  assert.equal(prefixes.find('a', b), undefined)
})

// --- what is kept ---------------------------------------------------------------------------------------------------

test('rows that are continued by others are kept once, whichever come first', () => {
  const { prefixes, keep } = setUp()
  keep(a)
  keep([...a, 1, 2])
  assert.equal(prefixes.kept.size, 1)
  assert.equal(prefixes.bytes, 120)
  keep(a)
  assert.equal(prefixes.bytes, 120)
  keep(a, 'b')
  keep([...a, 2, 2])
  assert.equal(prefixes.kept.size, 3)
})

test('pinned rows are not replaced by what continues them', () => {
  const { prefixes, keep } = setUp()
  keep(a, 'a', true)
  keep([...a, 1])
  assert.deepEqual(
    [...prefixes.kept].map(({ pinned }) => pinned),
    [true, false],
  )
  keep([...a, 1], 'a', true)
  assert.deepEqual(
    [...prefixes.kept].map(({ tokens, pinned }) => [tokens.length, pinned]),
    [[11, true]],
  )
})

test('rows that are kept but not pinned are pinned on demand', () => {
  const { prefixes, keep } = setUp()
  keep([...a, 1])
  keep(a, 'a', true)
  assert.deepEqual(
    [...prefixes.kept].map(({ tokens, pinned }) => [tokens.length, pinned]),
    [
      [11, false],
      [10, true],
    ],
  )
})

test('what was not used for longest goes when there is no room', () => {
  const { prefixes, keep } = setUp({ bytes: 250 })
  keep(a)
  keep(b)
  prefixes.touch(prefixes.find('a', a)!.holder)
  keep(c)
  assert.equal(prefixes.find('a', b), undefined)
  assert.equal(prefixes.find('a', a)!.length, 10)
  assert.equal(prefixes.bytes, 200)
  keep(a)
  keep(b)
  assert.equal(prefixes.find('a', c), undefined, 'to be kept again is a use')
})

test('of two that are as old the one that is sooner computed again per byte goes', () => {
  // A step costs much, a row little: a short text is dear for its bytes.
  const { prefixes, keep } = setUp({ bytes: 500, costs: { rows: (_stage, rows) => 100 + rows, within: () => 1000 } })
  keep(list(0, 10))
  keep(list(1, 30))
  keep(list(2, 20))
  assert.deepEqual(
    [...prefixes.kept].map(({ tokens }) => tokens.length),
    [10, 20],
  )
})

test('pinned rows go last, and rows that are too many for all room are not kept', () => {
  const { prefixes, keep } = setUp({ bytes: 250 })
  keep(a, 'a', true)
  for (let i = 0; i < 20; i++) keep(i % 2 === 0 ? b : c)
  assert.equal(prefixes.find('a', a)!.length, 10)
  assert.equal(keep(list(3, 30)), false)
  assert.equal(prefixes.bytes, 200)
  keep(list(3, 24), 'a', true)
  assert.deepEqual(
    [...prefixes.kept].map(({ tokens }) => tokens.length),
    [24],
  )
  prefixes.clear()
  assert.deepEqual([prefixes.bytes, prefixes.kept.size], [0, 0])
  assert.equal(prefixes.find('a', a), undefined)
})

// --- texts that give way --------------------------------------------------------------------------------------------

test('the text that was not changed for longest gives way, is told, and is kept', () => {
  const { table, prefixes, text } = setUp()
  const gone: string[] = []
  const first = text(a, 'a', () => gone.push('first'))
  const second = text(b, 'a', () => gone.push('second'))
  table.revise(first, [...a, 1])
  prefixes.changed(first)
  assert.equal(prefixes.evictText('cells'), true)
  assert.deepEqual(gone, ['second'])
  assert.deepEqual([table.has(first), table.has(second)], [true, false])
  assert.equal(prefixes.find('a', b)!.length, 10)
  assert.equal(table.cells.used, 10)
  assert.equal(prefixes.evictText('slots'), true)
  assert.equal(prefixes.evictText('slots'), false)
})

test('requests that run never give way, nor what is in flight', () => {
  const { table, prefixes } = setUp()
  prefixes.enter(table.add(a)!, 'a')
  const text = table.addInput()!
  prefixes.enter(text, 'a', () => {})
  table.revise(text, b)
  const step = table.next()!
  assert.equal(table.inFlight(text), true)
  assert.equal(prefixes.evictText('slots'), false)
  table.aborted(step)
  assert.equal(prefixes.evictText('slots'), true)
})

test('the text somebody is about to share goes last', () => {
  const { table, prefixes, text } = setUp()
  const spared = text(a)
  const other = text(b)
  prefixes.evictText('cells', spared)
  assert.deepEqual([table.has(spared), table.has(other)], [true, false])
  assert.equal(prefixes.evictText('cells', spared), true)
  assert.equal(table.has(spared), false)
})

test('for cells a text goes that has some of its own, but texts that share theirs go, too', () => {
  const { table, prefixes, text, run } = setUp()
  const empty = table.addInput()!
  prefixes.enter(empty, 'a', () => {})
  const one = text(a)
  const two = table.addInput({ holder: one, length: 10 })!
  prefixes.enter(two, 'a', () => {})
  run()
  const own = text(b)
  for (const expected of [own, one, two]) {
    assert.equal(prefixes.evictText('cells'), true)
    assert.equal(table.has(expected), false)
  }
  assert.equal(table.cells.used, 0)
  assert.equal(prefixes.evictText('cells'), false, 'it has none')
  assert.equal(prefixes.evictText('slots'), true)
})

test('a text that has not left the last stage keeps what has', () => {
  const { table, prefixes, text, step } = setUp({ stages: 2 })
  const one = text(a)
  table.revise(one, [...a, 1, 2, 3])
  step()
  assert.deepEqual(one.computed, [13, 10])
  prefixes.evictText('cells')
  assert.equal(prefixes.find('a', [...a, 1, 2, 3])!.length, 10)
})
