import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { IncipitError } from '../api/errors.ts'
import { Heads } from '../runtime/heads.ts'
import { type Head, type HeadsFile, readHeads, writeHeads } from '../runtime/load/heads-file.ts'
import { Acceptances } from './acceptances.ts'
import { HeadsProposer } from './heads.ts'

const of = { hash: 'ab'.repeat(32), layer: 8, embedding: 4, vocabulary: 6 }
// Every probability survives in nine of ten cases.
const sure = { from: [0], survival: [0.9], samples: 0 }

/** A head of full rank that gives token t the logit `weights[t]` times the state. */
function head(weights: readonly (readonly number[])[], calibration = sure): Head {
  const identity = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0))
  return { rank: 4, down: identity, up: Float32Array.from(weights.flat()), calibration }
}

const unit = (at: number) => [0, 1, 2, 3].map((i) => (i === at ? 1 : 0))
/** Token t likes dimension `shift + t`. */
const shifted = (shift: number, calibration = sure) =>
  head(
    [0, 1, 2, 3, 4, 5].map((token) => (token < 4 ? unit((token + shift) % 4) : [0, 0, 0, 0])),
    calibration,
  )
const state = (at: number, size = 1) => Float32Array.from(unit(at).map((value) => value * size))

test('each head names its best token', () => {
  const heads = new Heads({ heads: [shifted(0), shifted(1), shifted(2)] })
  assert.deepEqual(
    heads.guess(state(3)).map(({ token }) => token),
    [3, 2, 1],
  )
  assert.deepEqual(
    heads.guess(state(0)).map(({ token }) => token),
    [0, 3, 2],
  )
})

test('only the direction of a state counts, and the probability is that of the softmax', () => {
  // The normalised state is 2 in one dimension: logits 2, 0, 0, 0, 0, 0.
  const probability = Math.exp(2) / (Math.exp(2) + 5)
  const calibration = { from: [0, probability - 1e-3, probability + 1e-3], survival: [0.1, 0.5, 0.9], samples: 0 }
  for (const size of [0.3, 1, 50]) {
    assert.deepEqual(new Heads({ heads: [shifted(0, calibration)] }).guess(state(1, size)), [
      { token: 1, survival: 0.5 },
    ])
  }
})

test('low rank: logits are up (down x)', () => {
  const floats = (length: number) => fc.array(fc.integer({ min: -8, max: 8 }), { minLength: length, maxLength: length })
  fc.assert(
    fc.property(floats(2 * 7), floats(9 * 2), floats(7), (down, up, x) => {
      if (x.every((value) => value === 0)) return
      const heads = new Heads({
        heads: [{ rank: 2, down: Float32Array.from(down), up: Float32Array.from(up), calibration: sure }],
      })
      const inner = [0, 1].map((row) => x.reduce((sum, value, i) => sum + value * down[7 * row + i]!, 0))
      const logits = Array.from({ length: 9 }, (_, t) => up[2 * t]! * inner[0]! + up[2 * t + 1]! * inner[1]!)
      const { token } = heads.guess(Float32Array.from(x))[0]!
      // Not `equal`, to which 0 and -0 are two.
      assert.ok(logits[token]! >= Math.max(...logits))
    }),
  )
})

test('where only some tokens can be guessed, rows are named by the list', () => {
  const row = (at: number) => unit(at)
  const heads = new Heads({ heads: [head([row(0), row(1)])], tokens: Int32Array.of(5, 2) })
  assert.equal(heads.guess(state(0))[0]?.token, 5)
  assert.equal(heads.guess(state(1))[0]?.token, 2)
})

test('a head behind an unlikely chain is not asked', () => {
  const doubtful = { from: [0], survival: [0.3], samples: 0 }
  const heads = new Heads({ heads: [shifted(0, doubtful), shifted(1, doubtful), shifted(2, doubtful)] })
  assert.equal(heads.guess(state(0)).length, 2)
})

/** A proposer over the state of one token, which tests set. */
function proposer(acceptances = new Acceptances()) {
  const heads = new Heads({ heads: [shifted(0), shifted(1), shifted(2)] })
  let known: { index: number; values: Float32Array } | undefined
  const guess = (index: number) => (known?.index === index ? heads.guess(known.values) : undefined)
  return {
    heads: new HeadsProposer(guess, acceptances, 'chat', (token) => token === 1),
    see: (index: number, values: Float32Array) => {
      known = { index, values }
    },
  }
}
const text = (committed: number) => ({ tokens: new Array<number>(committed).fill(9), committed, prompt: 3 })

test('a draft needs the state whose row decided the last token', () => {
  const { heads, see } = proposer()
  assert.equal(heads.propose(text(5)), undefined)
  see(3, state(0))
  assert.deepEqual(heads.propose(text(5))?.tokens, [0, 3, 2])
  assert.equal(heads.propose(text(4)), undefined)
  assert.equal(heads.propose(text(6)), undefined)
})

test('a draft stops before a token that ends a reply', () => {
  const { heads, see } = proposer()
  see(3, state(3))
  assert.deepEqual(heads.propose(text(5))?.tokens, [3, 2])
  see(3, state(1))
  assert.equal(heads.propose(text(5)), undefined)
})

test('confidence is that of the file until drafts were counted, head by head', () => {
  const { heads, see } = proposer()
  see(3, state(0))
  const draft = heads.propose(text(5))!
  assert.ok(draft.confidences.every((confidence) => Math.abs(confidence - 0.9) <= 0.05))
  for (let i = 0; i < 60; i++) heads.learn(draft, 3, 1)
  const [first = 0, second = 1, third = 0] = heads.propose(text(5))!.confidences
  assert.ok(first > 0.95)
  assert.ok(second < 0.15)
  assert.equal(third, draft.confidences[2])
})

const file: HeadsFile = { heads: [shifted(0), shifted(1, { from: [0.1, 0.5], survival: [0.2, 0.8], samples: 0 })] }

test('a file gives back what was written', async (t) => {
  const path = join(await temporaryDirectory(t), 'heads.gguf')
  await writeHeads(path, of, file)
  assert.deepEqual(await readHeads(path, of), file)
})

test('the same with a list of tokens', async (t) => {
  const path = join(await temporaryDirectory(t), 'heads.gguf')
  const short: HeadsFile = { heads: [head([unit(0), unit(1)])], tokens: Int32Array.of(5, 2) }
  await writeHeads(path, of, short)
  assert.deepEqual(await readHeads(path, of), short)
})

test('heads of another model, layer or shape are refused by name', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'heads.gguf')
  await writeHeads(path, of, file)
  const refused = (expected: Partial<typeof of>, message: RegExp, at = path) =>
    assert.rejects(
      () => readHeads(at, { ...of, ...expected }),
      (error) => error instanceof IncipitError && error.code === 'tune_failed' && message.test(error.message),
    )
  await refused({ hash: 'cd'.repeat(32) }, /another model/)
  await refused({ layer: 7 }, /after 8 layers, the exit is after 7/)
  await refused({ vocabulary: 7 }, /know 6 tokens, the model has 7/)
  await refused({ embedding: 8 }, /'incipit.heads.0.down' is \[4, 4\]/)
  const write = async (name: string, file: HeadsFile) => {
    await writeHeads(join(directory, name), of, file)
    return join(directory, name)
  }
  await refused({}, /holds no heads/, await write('none.gguf', { heads: [] }))
  await refused(
    {},
    /tokens that do not exist/,
    await write('token.gguf', { heads: [head([unit(0)])], tokens: Int32Array.of(6) }),
  )
  await refused({}, /'incipit.heads.0.up' is \[4, 2\]/, await write('rows.gguf', { heads: [head([unit(0), unit(1)])] }))
  const blind = shifted(0, { from: [], survival: [], samples: 0 })
  await refused({}, /head 0 is not calibrated/, await write('blind.gguf', { heads: [blind] }))
})

test('a damaged file, and a model instead of heads, are refused', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'heads.gguf')
  await writeHeads(path, of, file)
  await truncate(path, 500)
  await assert.rejects(readHeads(path, of), { code: 'model_invalid' })
  await assert.rejects(readHeads(join(directory, 'missing.gguf'), of), { code: 'model_not_found' })
})
