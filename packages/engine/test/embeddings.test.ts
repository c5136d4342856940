import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { EmbedderApi } from '../src/api/index.ts'
import { Embedder } from '../src/embedding/embedder.ts'
import { Engine } from '../src/engine.ts'
import { readGguf } from '../src/gguf/index.ts'
import { isForEmbeddings } from '../src/gguf/pooling.ts'
import { Batch } from '../src/llama/batch.ts'
import { Context } from '../src/llama/context.ts'
import { Model } from '../src/llama/model.ts'
import { Threadpool } from '../src/llama/threadpool.ts'
import { SpawnedEmbedder } from '../src/process/index.ts'
import { writeBert } from './fixtures/bert-model.ts'
import { model } from './fixtures/gguf.ts'
import { until } from './fixtures/spawned.ts'

/*
 * Vectors of texts. The encoder is a tiny one with random weights, written here: llama-server makes the same vectors of the
 * same file.
 */

let directory: string
const bert = (pooling: string) => join(directory, `bert-${pooling}.gguf`)
const stories = model('stories260K.gguf')
const texts = ['Hello world', 'The old man sat by the river.', 'a', 'Hello world, and hello again?']

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'incipit-embeddings-'))
  for (const pooling of ['mean', 'cls', 'last', 'rank'] as const) await writeBert(bert(pooling), pooling)
})
after(() => rm(directory, { recursive: true, force: true }))

function assertClose(actual: Float32Array, expected: ArrayLike<number>, tolerance = 1e-5): void {
  assert.equal(actual.length, expected.length)
  for (const [i, value] of actual.entries()) assert(Math.abs(value - expected[i]!) <= tolerance, `${i}: ${value}`)
}

// The first values that llama-server (llama.cpp v0.5.0, `--embeddings`) gives for 'Hello world' and this file.
const serverSays = {
  mean: [0.227604, 0.061258, 0.244275, -0.099577],
  cls: [0.130338, 0.17433, -0.193927, -0.205631],
  last: [0.218676, -0.063547, 0.198462, -0.189046],
}

for (const pooling of ['mean', 'cls', 'last'] as const) {
  test(`an encoder's vectors are llama-server's (${pooling})`, async () => {
    await using embedder = await Embedder.load(bert(pooling), { threads: 1 })
    const { info } = embedder
    assert.deepEqual([info.pooling, info.made, info.dimensions, info.contextLength], [pooling, true, 32, 128])
    const { vectors, tokens } = await embedder.embed(['Hello world'])
    // [CLS], ten letters, [SEP].
    assert.equal(tokens, 12)
    assertClose(vectors[0]!.slice(0, 4), serverSays[pooling], 1e-4)
  })
}

test('the vector of a text does not depend on what it is made together with', async () => {
  await using embedder = await Embedder.load(bert('mean'), { threads: 1 })
  // More than fit into one run, by their number and by their tokens.
  const many = Array.from({ length: 40 }, (_, i) => `${texts[i % texts.length]} ${'x'.repeat(i)}`)
  const { vectors } = await embedder.embed(many)
  assert.equal(vectors.length, many.length)
  for (const [i, text] of many.entries()) {
    const { vectors: alone } = await embedder.embed([text])
    assertClose(vectors[i]!, alone[0]!)
    assert(Math.abs(Math.hypot(...vectors[i]!) - 1) < 1e-5)
  }
  assert(Math.abs(vectors[0]![0]! - vectors[1]![0]!) > 1e-3, 'different texts have different vectors')
})

test('tokens are taken as they are', async () => {
  await using embedder = await Embedder.load(bert('mean'), { threads: 1 })
  const { vectors, tokens } = await embedder.embed(['ab', [2, 5, 49, 3]])
  assert.equal(tokens, 8)
  assertClose(vectors[1]!, vectors[0]!)
})

test('what cannot be embedded is refused, and says which input it is', async () => {
  await using embedder = await Embedder.load(bert('mean'), { threads: 1 })
  const refused = (input: string | number[], code: string, message: RegExp) =>
    assert.rejects(embedder.embed(['a', input]), { code, param: 'input', message })
  await refused('', 'invalid_request', /input\[1\]: must not be empty/)
  await refused([], 'invalid_request', /input\[1\]/)
  await refused([91], 'invalid_request', /input\[1\]: token 91/)
  await refused('a'.repeat(127), 'context_overflow', /input\[1\]: 129 tokens/)
  assert.equal((await embedder.embed(['a'.repeat(126)])).tokens, 128)
  await assert.rejects(embedder.embed(['a'], { signal: AbortSignal.abort() }), { code: 'cancelled' })
  assert.deepEqual(await embedder.embed([]), { vectors: [], tokens: 0 })
})

test('models that make no vectors are refused, and encoders as engines', async () => {
  await assert.rejects(Embedder.load(bert('rank')), { code: 'model_unsupported', message: /ranks/ })
  await assert.rejects(Engine.load(bert('mean')), { code: 'model_unsupported', message: /embeddings/ })
  assert.equal(isForEmbeddings(await readGguf(bert('mean'))), true)
})

test('a closed embedder ends its run and refuses others', async () => {
  const embedder = await Embedder.load(bert('mean'), { threads: 1 })
  const made = embedder.embed(texts)
  await Promise.all([embedder.close(), embedder.close()])
  // It had been begun, or not.
  await made.catch((error) => assert.equal(error.code, 'closed'))
  await assert.rejects(embedder.embed(['a']), { code: 'closed' })
})

test('a causal model gives the mean of its last states', { skip: stories.skip }, async () => {
  await using embedder = await Embedder.load(stories.path, { threads: 1 })
  assert.deepEqual([embedder.info.pooling, embedder.info.made], ['mean', false])
  assert.equal(isForEmbeddings(await readGguf(stories.path)), false)
  const text = 'The old man sat by the river.'
  const { vectors } = await embedder.embed(['Another one', text])

  using whole = await Model.load(stories.path)
  using threadpool = new Threadpool(1)
  using context = new Context(whole, { cells: 256, sequences: 1, batch: 64, threadpool })
  context.keepStates(true)
  const tokens = whole.vocab.tokenize(text, { addBos: true })
  using batch = new Batch(64)
  for (const [position, token] of tokens.entries()) batch.add(token, position, [0], true)
  await context.decode(batch)
  const sum = new Float32Array(whole.embedding)
  for (const row of tokens.keys()) {
    const state = context.state(row, new Float32Array(whole.embedding))
    for (const [i, value] of state.entries()) sum[i]! += value
  }
  const length = Math.hypot(...sum)
  assertClose(
    vectors[1]!,
    sum.map((value) => value / length),
    1e-4,
  )
})

test('an embedder in a process of its own says the same, also after that died', async (t) => {
  await using here = await Embedder.load(bert('mean'), { threads: 1 })
  const computing: boolean[] = []
  const there = await SpawnedEmbedder.start(bert('mean'), { threads: 1, onComputing: (on) => computing.push(on) })
  t.after(() => there.close())
  assert.deepEqual(there.info, here.info)
  const same = async (embedder: EmbedderApi) => {
    const [one, two] = await Promise.all([here.embed(texts), embedder.embed(texts)])
    assert.equal(two.tokens, one.tokens)
    for (const [i, vector] of two.vectors.entries()) assertClose(vector, one.vectors[i]!)
  }
  there.limitThreads(1)
  await same(there)
  await until(() => computing.at(-1) === false, 'a rest')
  assert.deepEqual(computing, [true, false])
  await assert.rejects(there.embed(['']), { code: 'invalid_request', param: 'input' })
  const { pid } = there
  process.kill(pid!, 'SIGKILL')
  await same(there)
  assert.notEqual(there.pid, pid)
})

test('a process whose model cannot be loaded says why', async () => {
  await assert.rejects(SpawnedEmbedder.start(bert('rank')), { code: 'model_unsupported' })
  await assert.rejects(SpawnedEmbedder.start(join(directory, 'none.gguf')), { code: 'model_not_found' })
})
