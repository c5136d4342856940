import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { model } from '../../test/fixtures/gguf.ts'
import { Batch } from './batch.ts'
import { Context } from './context.ts'
import { Model } from './model.ts'
import { Threadpool } from './threadpool.ts'

const { path, skip } = model('stories260K.gguf')
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

interface Row {
  token: number
  at: number
  of: readonly number[]
}

const cells = 256

function context(): Context {
  return new Context(stories, { cells, sequences: 3, batch: cells, threadpool })
}

/** Rows of consecutive tokens of these sequences. */
function rows(tokens: readonly number[], from: number, of: readonly number[]): Row[] {
  return tokens.map((token, i) => ({ token, at: from + i, of }))
}

/** Runs rows in one decode and gives the logits of all of them, or of the last `outputs`. */
async function decode(c: Context, rows: readonly Row[], outputs = rows.length): Promise<Float32Array[]> {
  using batch = new Batch(rows.length, { sequencesPerRow: 3 })
  const first = rows.length - outputs
  for (const [i, { token, at, of }] of rows.entries()) batch.add(token, at, of, i >= first)
  assert.equal(await c.decode(batch), 'done')
  return rows.slice(first).map((_, i) => c.logits(first + i, new Float32Array(stories.vocab.size)))
}

const prompt = () => stories.vocab.tokenize('Once upon a time a girl sat by the river.', { addBos: true })
// What three replies begin with: the second and third agree in their first token.
const branches = [
  [300, 310, 320],
  [301, 310],
  [301, 320],
] as const
const next = 330

/**
 * The prompt for all three, then a tree: one first token of its own, one that two share, and what follows each. What is
 * rolled back below comes last: a new row in a hole before other rows of its sequence changes the order in which attention
 * adds them up, and with it the last bits.
 */
function tree(): Row[] {
  const [first, second, third] = branches
  const start = prompt().length
  return [
    ...rows(prompt(), 0, [0, 1, 2]),
    ...rows(third.slice(0, 1), start, [1, 2]),
    ...rows(third.slice(1), start + 1, [2]),
    ...rows(second.slice(1), start + 1, [1]),
    ...rows(first, start, [0]),
  ]
}

/**
 * The same decodes with a stranger in place of all rows but one sequence's: that sequence, alone, with nothing shared or
 * rolled back, and bit for bit comparable. A decode of fewer rows would not be: llama.cpp has other kernels for one row
 * than for several, and whether their last bits agree depends on the CPU.
 * @param decodes which rows are in fact the sequence's
 */
function alone(decodes: readonly (readonly Row[])[], own: (row: Row, decode: number) => boolean): Row[][] {
  let strangers = 0
  return decodes.map((rows, decode) =>
    rows.map((row) => (own(row, decode) ? { ...row, of: [0] } : { token: 400 + strangers, at: strangers++, of: [1] })),
  )
}

/** Runs decodes in a fresh context; gives the logits of the last one. */
async function run(decodes: readonly (readonly Row[])[]): Promise<Float32Array[]> {
  using c = context()
  let logits: Float32Array[] = []
  for (const rows of decodes) logits = await decode(c, rows)
  return logits
}

/** Not deepEqual: the difference of two rows of logits is long and says little. */
function assertSame(found: Float32Array, expected: Float32Array): void {
  const gap = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0)
  assert.equal(gap, 0, `logits differ by up to ${gap}`)
}

test('a tree in one decode: every branch sees the shared rows and its own, as if it had been computed alone', {
  skip,
}, async () => {
  using c = context()
  const logits = await decode(c, tree())
  for (const [sequence, branch] of branches.entries()) {
    const expected = await run(alone([tree()], ({ of }) => of.includes(sequence)))
    for (const [row, { of }] of tree().entries()) {
      if (of.includes(sequence)) assertSame(logits[row]!, expected[row]!)
    }
    assert.deepEqual(c.positions(sequence), { first: 0, last: prompt().length + branch.length - 1 })
  }
})

test('a row of several sequences takes one cell', { skip }, async () => {
  using c = context()
  const text = Array.from({ length: cells - 2 }, (_, i) => 256 + i)
  await decode(c, rows(text, 0, [0, 1, 2]), 1)
  await decode(c, [...rows([300], cells - 2, [0]), ...rows([301], cells - 2, [1])])
  using batch = new Batch(1)
  batch.add(302, cells - 2, [2], true)
  assert.equal(await c.decode(batch), 'full')
})

test('a branch that is rolled back leaves the others and the shared rows alone', { skip }, async () => {
  const start = prompt().length
  const [first, , third] = branches
  using c = context()
  await decode(c, tree())
  // Into the shared rows, behind them, and as a whole.
  c.sequenceRemove(0, start - 2)
  c.sequenceRemove(1, start)
  const ends = [start - 2, start, start + third.length]
  assert.deepEqual(
    [0, 1, 2].map((i) => c.positions(i)?.last),
    ends.map((end) => end - 1),
  )
  const after = ends.map((end, i) => ({ token: next, at: end, of: [i] }))
  const found = await decode(c, after)
  for (const [sequence, end] of ends.entries()) {
    const own = ({ of, at }: Row, decode: number) => of.includes(sequence) && (decode === 1 || at < end)
    assertSame(found[sequence]!, (await run(alone([tree(), after], own)))[sequence]!)
  }

  c.sequenceRemove(1, 0)
  c.sequenceRemove(2, 0)
  assert.deepEqual(c.positions(0), { first: 0, last: start - 2 })
  c.sequenceRemove(0, start - 2)
  // The cells the others left are free again, and nothing of them is seen.
  const again = rows([...prompt().slice(-2), ...first], start - 2, [0])
  const own = ({ of, at }: Row, decode: number) => decode === 1 || (of.includes(0) && at < start - 2)
  assertSame((await decode(c, again)).at(-1)!, (await run(alone([tree(), again], own))).at(-1)!)
})

test('shared rows in one decode are what a copy of the sequence gives', { skip }, async () => {
  const start = prompt().length
  const [first, second] = branches
  const branched = [...rows(first, start, [0]), ...rows(second, start, [1])]
  using copied = context()
  await decode(copied, rows(prompt(), 0, [0]))
  copied.sequenceCopy(0, 1, 0, start)
  using shared = context()
  await decode(shared, rows(prompt(), 0, [0, 1]))
  const [found, expected] = [await decode(shared, branched), await decode(copied, branched)]
  for (const [i, logits] of found.entries()) assertSame(logits, expected[i]!)
})

test('sequences that have parted get no common rows: the decode says so and computes nothing', { skip }, async () => {
  using c = context()
  await decode(c, tree())
  const before = [0, 1, 2].map((i) => c.positions(i))
  using batch = new Batch(1, { sequencesPerRow: 2 })
  batch.add(300, before[0]!.last + 1, [0, 1], true)
  await assert.rejects(c.decode(batch), { code: 'decode_failed', message: /inconsistent sequence positions/ })
  assert.deepEqual(
    [0, 1, 2].map((i) => c.positions(i)),
    before,
  )
})
