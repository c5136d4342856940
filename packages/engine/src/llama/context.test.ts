import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { model } from '../../test/fixtures/gguf.ts'
import { Batch } from './batch.ts'
import { Context, type ContextOptions } from './context.ts'
import { Model } from './model.ts'
import { Threadpool } from './threadpool.ts'

const { path, skip } = model('stories260K.gguf')
const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
let stories: Model
let threadpool: Threadpool

before(async () => {
  if (skip) return
  stories = await Model.load(path)
  threadpool = new Threadpool(1)
})
after(() => {
  if (skip) return
  stories[Symbol.dispose]()
  threadpool[Symbol.dispose]()
})

function context(options: Partial<ContextOptions> = {}): Context {
  return new Context(stories, { cells: 256, sequences: 2, batch: 64, threadpool, ...options })
}

/** Rows of these tokens at consecutive positions of sequence 0; the last one has output. */
function rows(tokens: readonly number[], from = 0, capacity = 512): Batch {
  const batch = new Batch(capacity)
  for (const [i, token] of tokens.entries()) batch.add(token, from + i, [0], i === tokens.length - 1)
  return batch
}

const tokens = (count: number) => Array.from({ length: count }, (_, i) => 260 + ((i * 7) % 200))

function logits(context: Context, row: number): Float32Array {
  return context.logits(row, new Float32Array(context.model.vocab.size))
}

test('a context that does not fit into memory is refused by name', { skip }, () => {
  assert.throws(() => context({ cells: 2 ** 40 }), { code: 'context_memory', message: /GiB/ })
  assert.throws(() => context({ sequences: 100_000 }), { code: 'context_memory' })
})

test('rows that no decode can run are refused, and the context goes on', { skip }, async () => {
  using c = context({ outputs: 1, sequences: 1 })
  using empty = new Batch(4)
  await assert.rejects(c.decode(empty), { code: 'batch_invalid' })
  await assert.rejects(c.decode(rows(tokens(65))), { code: 'batch_invalid', message: /65 rows.*64/ })
  const outputs = rows(tokens(2))
  outputs.add(300, 2, [0], true)
  await assert.rejects(c.decode(outputs), { code: 'batch_invalid', message: /2 rows with output/ })
  assert.equal(c.positions(0), undefined)
  assert.equal(await c.decode(rows(tokens(3))), 'done')
  assert.deepEqual(c.positions(0), { first: 0, last: 2 })
})

test('a context for more sequences than rows or outputs works', { skip }, async () => {
  using c = context({ batch: 2, sequences: 16, outputs: 1 })
  assert.equal(await c.decode(rows(tokens(2))), 'done')
})

test('a row too many, a row of no sequence, a state of the wrong width: the batch refuses them', { skip }, () => {
  using batch = new Batch(2)
  batch.add(300, 0, [0], false)
  assert.throws(() => batch.add(300, 1, [], false), { code: 'batch_invalid' })
  assert.throws(() => batch.add(300, 1, [0, 1], false), { code: 'batch_invalid' })
  assert.throws(() => batch.add(new Float32Array(64), 1, [0], false), { code: 'batch_invalid' })
  batch.add(300, 1, [0], true)
  assert.throws(() => batch.add(300, 2, [0], false), { code: 'batch_invalid', message: /holds 2 rows/ })
  assert.equal(batch.rows, 2)
  assert.equal(batch.outputs, 1)
  using states = new Batch(2, { stateWidth: 64 })
  assert.throws(() => states.add(300, 0, [0], false), { code: 'batch_invalid' })
  assert.throws(() => states.add(new Float32Array(63), 0, [0], false), { code: 'batch_invalid', message: /63 values/ })
  assert.equal(states.rows, 0)
})

test('states of another width than the model never reach it', { skip }, async () => {
  using c = context()
  using batch = new Batch(2, { stateWidth: 32 })
  batch.add(new Float32Array(32), 0, [0], true)
  await assert.rejects(c.decode(batch), { code: 'batch_invalid', message: /32 values.*width 64/ })
})

const impossible: [string, (batch: Batch) => void][] = [
  ['a token outside the vocabulary', (batch) => batch.add(100_000, 3, [0], true)],
  ['a negative token', (batch) => batch.add(-1, 3, [0], true)],
  ['a sequence id that cannot be', (batch) => batch.add(300, 0, [-1], true)],
  ['a position after a gap', (batch) => batch.add(300, 7, [0], true)],
  ['a position that is taken', (batch) => batch.add(300, 2, [0], true)],
]
for (const [what, add] of impossible) {
  test(`${what}: the decode fails with the reason, nothing is computed, and the next one works`, { skip }, async () => {
    using c = context()
    assert.equal(await c.decode(rows(tokens(3))), 'done')
    using batch = new Batch(4)
    add(batch)
    await assert.rejects(c.decode(batch), { code: 'decode_failed', message: /returned -1: .*init/s })
    assert.deepEqual(c.positions(0), { first: 0, last: 2 })
    assert.equal(await c.decode(rows([300], 3)), 'done')
  })
}

test('a cache without room says so and computes nothing', { skip }, async () => {
  using c = context()
  for (let from = 0; from < c.cells; from += 64) assert.equal(await c.decode(rows(tokens(64), from)), 'done')
  assert.equal(await c.decode(rows([300], c.cells)), 'full')
  assert.deepEqual(c.positions(0), { first: 0, last: c.cells - 1 })
  c.sequenceRemove(0, c.cells - 1)
  assert.equal(await c.decode(rows([300], c.cells - 1)), 'done')
})

test('outputs are there for output rows of the last decode, and nowhere else', { skip }, async () => {
  using c = context()
  assert.throws(() => logits(c, 0), { code: 'batch_invalid' })
  await c.decode(rows(tokens(3)))
  assert.ok(logits(c, 2).some((value) => value !== 0))
  for (const row of [0, 1, 3, -1, 1000]) assert.throws(() => logits(c, row), { code: 'batch_invalid' }, `${row}`)
  assert.throws(() => c.logits(2, new Float32Array(513)), { code: 'batch_invalid' })
  assert.throws(() => c.state(2, new Float32Array(64)), { code: 'batch_invalid' })
  await assert.rejects(c.decode(rows([-1], 3)), { code: 'decode_failed' })
  assert.throws(() => logits(c, 2), { code: 'batch_invalid' }, 'outputs of a decode before the last')
})

test('with flash attention and without it the logits are the same, but for rounding', { skip }, async () => {
  using flash = context({ flashAttention: true })
  using plain = context({ flashAttention: false })
  for (const c of [flash, plain]) assert.equal(await c.decode(rows(tokens(40))), 'done')
  const others = logits(plain, 39)
  const difference = Math.max(...logits(flash, 39).map((value, i) => Math.abs(value - others[i]!)))
  assert.ok(difference > 0 && difference < 0.1, `${difference}`)
})

test('layer inputs are read within the rows of the last decode', { skip }, async () => {
  using c = context({ layerInput: 2 })
  const room = new Float32Array(64 * 3)
  assert.throws(() => c.layerInput(0, 1, room), { code: 'batch_invalid' })
  await c.decode(rows(tokens(3)))
  assert.ok(c.layerInput(0, 3, room).some((value) => value !== 0))
  const second = c.layerInput(1, 1, new Float32Array(64))
  assert.deepEqual(second, room.subarray(64, 128))
  assert.throws(() => c.layerInput(2, 2, room), { code: 'batch_invalid' })
  assert.throws(() => c.layerInput(-1, 1, room), { code: 'batch_invalid' })
  assert.throws(() => c.layerInput(0, 3, new Float32Array(64)), { code: 'batch_invalid' })
  using without = context()
  assert.throws(() => without.layerInput(0, 0, room), { code: 'batch_invalid' })
  assert.throws(() => context({ layerInput: 5 }), { code: 'batch_invalid', message: /no layer 5/ })
})

test('a context with separate caches gives no layer inputs: they would be those of other rows', { skip }, async () => {
  assert.throws(() => context({ unified: false, layerInput: 2 }), { code: 'batch_invalid' })
  using c = context({ unified: false, layerInput: 2, sequences: 1 })
  using unified = context({ layerInput: 2 })
  const states: Float32Array[] = []
  for (const each of [c, unified]) {
    await each.decode(rows(tokens(3)))
    states.push(each.layerInput(0, 3, new Float32Array(64 * 3)))
  }
  assert.deepEqual(states[0], states[1])
})

test('sequence ids outside the context are refused', { skip }, () => {
  using c = context()
  for (const id of [-1, 2, 300, 0.5]) {
    assert.throws(() => c.positions(id), { code: 'batch_invalid' })
    assert.throws(() => c.sequenceRemove(id, 0), { code: 'batch_invalid' })
    assert.throws(() => c.sequenceCopy(0, id, 0, 1), { code: 'batch_invalid' })
  }
})

test('a forked sequence goes on as its own, and rolling it back leaves the other alone', { skip }, async () => {
  using c = context()
  await c.decode(rows(tokens(8)))
  c.sequenceCopy(0, 1, 0, 5)
  assert.deepEqual(c.positions(1), { first: 0, last: 4 })
  using batch = new Batch(1)
  batch.add(300, 5, [1], true)
  await c.decode(batch)
  const forked = logits(c, 0)
  c.sequenceRemove(1, 0)
  assert.equal(c.positions(1), undefined)
  assert.deepEqual(c.positions(0), { first: 0, last: 7 })
  using alone = context()
  await alone.decode(rows(tokens(8)))
  alone.sequenceRemove(0, 5)
  await alone.decode(rows([300], 5))
  assert.deepEqual(forked, logits(alone, 0))
})

test('while a decode runs nothing else may touch the context or its batch', { skip }, async () => {
  using c = context()
  using batch = rows(tokens(64))
  const first = c.decode(batch)
  const busy = { code: 'batch_invalid' }
  await assert.rejects(c.decode(rows(tokens(2))), busy)
  assert.throws(() => c.positions(0), busy)
  assert.throws(() => c.sequenceRemove(0, 0), busy)
  assert.throws(() => c.sequenceCopy(0, 1, 0, 1), busy)
  assert.throws(() => logits(c, 0), busy)
  assert.throws(() => batch.clear(), busy)
  assert.throws(() => batch.add(300, 64, [0], true), busy)
  assert.equal(await first, 'done')
  assert.deepEqual(c.positions(0), { first: 0, last: 63 })
  batch.clear()
})

test('after disposal a context and a batch answer with a named error; a second time does nothing', {
  skip,
}, async () => {
  const c = context()
  const batch = rows(tokens(2))
  batch[Symbol.dispose]()
  batch[Symbol.dispose]()
  assert.throws(() => batch.add(300, 0, [0], true), { code: 'disposed' })
  assert.throws(() => batch.clear(), { code: 'disposed' })
  await assert.rejects(c.decode(batch), { code: 'disposed' })
  assert.equal(await c.decode(rows(tokens(2))), 'done')
  c[Symbol.dispose]()
  c[Symbol.dispose]()
  await assert.rejects(c.decode(rows(tokens(2))), { code: 'disposed' })
  assert.throws(() => logits(c, 1), { code: 'disposed' })
  assert.throws(() => c.positions(0), { code: 'disposed' })
  c.abort()
})

test('everything may be disposed under a running decode, in any order', { skip }, async () => {
  for (const order of [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [2, 3, 0, 1],
  ]) {
    const own = await Model.load(path)
    const pool = new Threadpool(1)
    const c = new Context(own, { cells: 512, sequences: 1, batch: 512, threadpool: pool })
    const batch = rows(tokens(400))
    const running = c.decode(batch)
    const owners = [own, pool, c, batch]
    for (const index of order) owners[index]![Symbol.dispose]()
    // Short work may be done before the abort is seen.
    assert.match(await running, /aborted|done/)
    await assert.rejects(c.decode(rows(tokens(2))), { code: 'disposed' })
  }
})

test('a model may go before its contexts', { skip }, async () => {
  const own = await Model.load(path)
  using c = new Context(own, { cells: 256, sequences: 1, batch: 64, threadpool })
  own[Symbol.dispose]()
  assert.equal(await c.decode(rows(tokens(10))), 'done')
})

test('an abort without a decode does not stop the next one', { skip }, async () => {
  using c = context()
  c.abort()
  assert.equal(await c.decode(rows(tokens(10))), 'done')
})

test('a long decode leaves the event loop free and is stopped in its middle', { skip: smol.skip }, async (t) => {
  using large = await Model.load(smol.path)
  const make = () => new Context(large, { cells: 512, sequences: 1, batch: 512, outputs: 1, threadpool })
  using c = make()
  const first = tokens(16)
  const prompt = tokens(400).slice(16)
  // Once for the page cache, then for the clock.
  await c.decode(rows(first))
  c.sequenceRemove(0, 0)
  assert.equal(await c.decode(rows(first)), 'done')

  let gap = 0
  let ticks = 0
  let last = performance.now()
  const tick = () => {
    const now = performance.now()
    gap = Math.max(gap, now - last)
    last = now
    ticks++
  }
  const timer = setInterval(tick, 2)
  const start = performance.now()
  assert.equal(await c.decode(rows(prompt, 16)), 'done')
  tick()
  clearInterval(timer)
  const whole = performance.now() - start
  assert.ok(ticks > 10 && gap < whole / 3, `${ticks} ticks, the longest gap ${gap} of ${whole} ms`)

  c.sequenceRemove(0, 16)
  const running = c.decode(rows(prompt, 16))
  await new Promise((resolve) => setTimeout(resolve, whole / 10))
  const asked = performance.now()
  c.abort()
  assert.equal(await running, 'aborted')
  const stopped = performance.now() - asked
  t.diagnostic(`aborted ${stopped.toFixed(1)} ms after the call; the whole decode takes ${whole.toFixed(0)} ms`)
  assert.ok(stopped < whole / 2, `aborted after ${stopped} of ${whole} ms`)

  // What remains is what was there, and it goes on as if nothing had happened.
  assert.throws(() => logits(c, 383), { code: 'batch_invalid' })
  c.sequenceRemove(0, 16)
  assert.deepEqual(c.positions(0), { first: 0, last: 15 })
  assert.equal(await c.decode(rows([300], 16)), 'done')
  using fresh = make()
  await fresh.decode(rows(first))
  await fresh.decode(rows([300], 16))
  assert.deepEqual(logits(c, 0), logits(fresh, 0))
})
