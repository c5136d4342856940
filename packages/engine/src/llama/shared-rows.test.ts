import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { model } from '../../test/fixtures/gguf.ts'
import { Batch } from './batch.ts'
import { Context } from './context.ts'
import { Model } from './model.ts'
import { Threadpool } from './threadpool.ts'

const { path, skip } = model('SmolLM2-135M-Instruct.Q4_1.gguf')
let smol: Model
let threadpool: Threadpool

before(async () => {
  if (skip) return
  smol = await Model.load(path)
  threadpool = new Threadpool(1)
})
after(() => {
  if (skip) return
  smol[Symbol.dispose]()
  threadpool[Symbol.dispose]()
})

interface Row {
  token: number
  at: number
  of: readonly number[]
}

const cells = 256

function context(): Context {
  return new Context(smol, { cells, sequences: 3, batch: cells, threadpool })
}

/** Rows of consecutive tokens of these sequences. */
function rows(tokens: readonly number[], from: number, of: readonly number[]): Row[] {
  return tokens.map((token, i) => ({ token, at: from + i, of }))
}

/** Runs rows in one decode and gives the logits of all of them. */
async function decode(c: Context, rows: readonly Row[]): Promise<Float32Array[]> {
  using batch = new Batch(rows.length, { sequencesPerRow: 3 })
  for (const { token, at, of } of rows) batch.add(token, at, of, true)
  assert.equal(await c.decode(batch), 'done')
  return rows.map((_, row) => c.logits(row, new Float32Array(smol.vocab.size)))
}

const prompt = () => smol.vocab.tokenize('The old man sat by the river and watched the boats.')
// What three replies begin with: the second and third agree in their first token.
const branches = () => {
  const [a, b, c, d] = ['He', 'Then', ' had', ' rain'].map((text) => smol.vocab.tokenize(text)[0]!)
  return [
    [a!, c!, d!],
    [b!, c!],
    [b!, d!],
  ] as const
}

/**
 * The prompt for all three, then a tree: one first token of its own, one that two share, and what follows each. What is
 * rolled back below comes last: a new row in a hole before other rows of its sequence changes the order in which attention
 * adds them up, and with it the last bits.
 */
function tree(): Row[] {
  const [first, second, third] = branches()
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
 * Logits of the last token of each text, every one computed alone: the tokens before its `last` in one decode, and those
 * in another, as llama.cpp uses other kernels for one row than for many.
 */
async function alone(texts: readonly (readonly number[])[], last: number): Promise<Float32Array[]> {
  const logits: Float32Array[] = []
  for (const text of texts) {
    using c = context()
    const start = text.length - last
    if (start > 0) await decode(c, rows(text.slice(0, start), 0, [0]))
    logits.push((await decode(c, rows(text.slice(start), start, [0]))).at(-1)!)
  }
  return logits
}

/** Not deepEqual: the difference of two vectors of 49,152 numbers is printed for minutes. */
function assertSame(found: readonly Float32Array[], expected: readonly Float32Array[]): void {
  assert.equal(found.length, expected.length)
  for (const [i, row] of found.entries()) {
    const gap = row.reduce((most, value, j) => Math.max(most, Math.abs(value - expected[i]![j]!)), 0)
    assert.equal(gap, 0, `row ${i} differs by up to ${gap}`)
  }
}

test('a tree in one decode: every branch sees the shared rows and its own, as if it had been computed alone', {
  skip,
}, async () => {
  using c = context()
  const logits = await decode(c, tree())
  const start = prompt().length
  for (const [i, branch] of branches().entries()) {
    const text = [...prompt(), ...branch]
    assertSame([logits[start + [5, 2, 1][i]!]!], await alone([text], text.length))
  }
  for (const [i, branch] of branches().entries()) {
    assert.deepEqual(c.positions(i), { first: 0, last: start + branch.length - 1 })
  }
})

test('a row of several sequences takes one cell', { skip }, async () => {
  using c = context()
  const text = Array.from({ length: cells - 2 }, (_, i) => 300 + i)
  await decode(c, rows(text, 0, [0, 1, 2]))
  await decode(c, [...rows([300], cells - 2, [0]), ...rows([301], cells - 2, [1])])
  using batch = new Batch(1)
  batch.add(302, cells - 2, [2], true)
  assert.equal(await c.decode(batch), 'full')
})

test('a branch that is rolled back leaves the others and the shared rows alone', { skip }, async () => {
  const start = prompt().length
  const [first, , third] = branches()
  const next = smol.vocab.tokenize(' came')[0]!
  using c = context()
  await decode(c, tree())
  // Into the shared rows, behind them, and as a whole.
  c.sequenceRemove(0, start - 2)
  c.sequenceRemove(1, start)
  assert.deepEqual(
    [0, 1, 2].map((i) => c.positions(i)?.last),
    [start - 3, start - 1, start + third.length - 1],
  )
  const ends = [prompt().slice(0, start - 2), prompt(), [...prompt(), ...third]]
  const after = await decode(
    c,
    ends.map((text, i) => ({ token: next, at: text.length, of: [i] })),
  )
  assertSame(
    after,
    await alone(
      ends.map((text) => [...text, next]),
      1,
    ),
  )

  c.sequenceRemove(1, 0)
  c.sequenceRemove(2, 0)
  assert.deepEqual(c.positions(0), { first: 0, last: start - 2 })
  c.sequenceRemove(0, start - 2)
  // The cells the others left are free again, and nothing of them is seen.
  const again = await decode(c, rows([...prompt().slice(-2), ...first], start - 2, [0]))
  assertSame(again.slice(-1), await alone([[...prompt(), ...first]], first.length + 2))
})

test('shared rows in one decode are what a copy of the sequence gives', { skip }, async () => {
  const start = prompt().length
  const [first, second] = branches()
  const branched = [...rows(first, start, [0]), ...rows(second, start, [1])]
  using copied = context()
  await decode(copied, rows(prompt(), 0, [0]))
  copied.sequenceCopy(0, 1, 0, start)
  using shared = context()
  await decode(shared, rows(prompt(), 0, [0, 1]))
  assertSame(await decode(shared, branched), await decode(copied, branched))
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
