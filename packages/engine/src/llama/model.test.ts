import assert from 'node:assert/strict'
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { mixtureOf, model, temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { copyOf, readGguf, writeGguf } from '../gguf/index.ts'
import { Batch } from './batch.ts'
import { Context } from './context.ts'
import { expertsOf, Model } from './model.ts'
import { Threadpool } from './threadpool.ts'

const { path, skip } = model('stories260K.gguf')

// After all the refusals the process still lives and loads a sound model.
after(async () => {
  if (skip) return
  using sound = await Model.load(path)
  assert.equal(sound.layers, 5)
})

test('a file that does not exist, and a directory, are no models', async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'model.gguf'))
  await assert.rejects(Model.load(join(directory, 'missing.gguf')), { code: 'model_not_found' })
  await assert.rejects(Model.load(join(directory, 'model.gguf')), { code: 'model_not_found' })
})

test('a file that is no GGUF is invalid, whatever its size', async (t) => {
  const directory = await temporaryDirectory(t)
  for (const [name, content] of Object.entries({ empty: '', short: 'GG', text: 'hello world\n'.repeat(1000) })) {
    await writeFile(join(directory, name), content)
    await assert.rejects(Model.load(join(directory, name)), { code: 'model_invalid' }, name)
  }
})

test('a GGUF that is cut short is invalid, wherever it ends', { skip }, async (t) => {
  const directory = await temporaryDirectory(t)
  const bytes = await readFile(path)
  const { tensors } = await readGguf(path)
  const data = Math.min(...tensors.map(({ offset }) => offset))
  for (const length of [8, 30, 1000, data - 40, data, data + 1, bytes.length - 1]) {
    const short = join(directory, `short-${length}.gguf`)
    await writeFile(short, bytes)
    await truncate(short, length)
    await assert.rejects(Model.load(short), { code: 'model_invalid' }, `${length} bytes`)
  }
})

test('an architecture that the library does not know is unsupported, and the error names it', { skip }, async (t) => {
  const gguf = await readGguf(path)
  const changed = join(await temporaryDirectory(t), 'unheard.gguf')
  const metadata = new Map(gguf.metadata).set('general.architecture', { type: 'string', value: 'unheardof' })
  await writeGguf(
    changed,
    metadata,
    gguf.tensors.map((tensor) => copyOf(gguf, tensor)),
  )
  await assert.rejects(Model.load(changed), { code: 'model_unsupported', message: /'unheardof'.*unknown model arch/s })
})

test('a model that lacks a tensor is unsupported, and the error names it', { skip }, async (t) => {
  const gguf = await readGguf(path)
  const changed = join(await temporaryDirectory(t), 'incomplete.gguf')
  const tensors = gguf.tensors.filter(({ name }) => name !== 'blk.2.ffn_down.weight')
  await writeGguf(
    changed,
    gguf.metadata,
    tensors.map((tensor) => copyOf(gguf, tensor)),
  )
  await assert.rejects(Model.load(changed), { code: 'model_unsupported', message: /blk\.2\.ffn_down/ })
})

test('a model says what it is', { skip }, async () => {
  using stories = await Model.load(path)
  assert.equal(stories.architecture, 'llama')
  assert.equal(stories.layers, 5)
  assert.equal(stories.embedding, 64)
  assert.equal(stories.vocab.size, 512)
  assert.equal(stories.recurrent, false)
  assert.match(stories.description, /^llama, \d+k parameters, /)
  // F16 keys and values of 4 heads of 8 in 5 layers.
  assert.equal(stories.cellBytes, 5 * 4 * (8 + 8) * 2)
})

test('fewer experts than the file says: other logits, and the same as of a file that says so', { skip }, async (t) => {
  const directory = await temporaryDirectory(t)
  const dense = await readGguf(path)
  const file = (used: number) => join(directory, `${used}-of-4.gguf`)
  for (const used of [2, 3, 4]) await mixtureOf(dense, file(used), 4, used)
  assert.deepEqual(expertsOf((await readGguf(file(3))).metadata, 'llama'), { used: 3, all: 4 })
  assert.equal(expertsOf(dense.metadata, 'llama'), undefined)
  const all = await lastLogits(file(4))
  const two = await lastLogits(file(4), 2)
  assert.notDeepEqual(two, all)
  assert.deepEqual(two, await lastLogits(file(2)))
  assert.deepEqual(await lastLogits(file(2), 4), all)
  assert.notDeepEqual(await lastLogits(file(4), 3), two)
  assert.deepEqual(await lastLogits(file(4), 3), await lastLogits(file(3)))
  for (const experts of [0, -1, 1.5, 5, Number.NaN]) {
    const refused = { code: 'invalid_request', param: 'experts', message: /from 1 to 4/ } as const
    await assert.rejects(Model.load(file(4), { experts }), refused, `${experts}`)
  }
  await assert.rejects(Model.load(path, { experts: 1 }), { code: 'invalid_request', message: /no experts/ })
})

/** Logits after a few tokens. */
async function lastLogits(path: string, experts?: number): Promise<Float32Array> {
  using threadpool = new Threadpool(1)
  using mixture = await Model.load(path, experts === undefined ? {} : { experts })
  using context = new Context(mixture, { cells: 64, sequences: 1, batch: 8, threadpool })
  using batch = new Batch(8)
  for (const [i, token] of [1, 300, 310, 320].entries()) batch.add(token, i, [0], i === 3)
  assert.equal(await context.decode(batch), 'done')
  return context.logits(3, new Float32Array(mixture.vocab.size))
}

test('a disposed model has no vocabulary and makes no contexts; a second time does nothing', { skip }, async () => {
  using threadpool = new Threadpool(1)
  const stories = await Model.load(path)
  stories[Symbol.dispose]()
  stories[Symbol.dispose]()
  assert.throws(() => stories.vocab.tokenize('hello'), { code: 'disposed' })
  assert.throws(() => stories.vocab.bytesOf(300), { code: 'disposed' })
  assert.throws(() => new Context(stories, { cells: 256, sequences: 1, batch: 8, threadpool }), { code: 'disposed' })
})

test('a thread pool needs a possible number of threads, and is gone after disposal', { skip }, async () => {
  for (const threads of [0, -1, 1.5, Number.NaN, 100_000]) {
    assert.throws(() => new Threadpool(threads), { code: 'invalid_request', param: 'threads' }, `${threads}`)
  }
  using stories = await Model.load(path)
  const threadpool = new Threadpool(1)
  threadpool[Symbol.dispose]()
  threadpool[Symbol.dispose]()
  assert.throws(() => new Context(stories, { cells: 256, sequences: 1, batch: 8, threadpool }), { code: 'disposed' })
})
