import assert from 'node:assert/strict'
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { model, slidingWindowOf, temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { readGguf, stageFiles } from '../gguf/index.ts'
import { Batch } from './batch.ts'
import { Context } from './context.ts'
import { Model } from './model.ts'
import { Threadpool } from './threadpool.ts'

const { path, skip } = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const small = model('stories260K.gguf')
const skipAny = skip || small.skip
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

function context(of = smol, cells = 256): Context {
  return new Context(of, { cells, sequences: 3, batch: 256, threadpool })
}

const text = (length: number) => Array.from({ length }, (_, i) => 260 + ((i * 7) % 200))

/** Runs tokens of a sequence; gives the logits of the last one. */
async function decode(c: Context, tokens: readonly number[], from: number, sequence: number): Promise<Float32Array> {
  using batch = new Batch(tokens.length)
  for (const [i, token] of tokens.entries()) batch.add(token, from + i, [sequence], i === tokens.length - 1)
  assert.equal(await c.decode(batch), 'done')
  return c.logits(tokens.length - 1, new Float32Array(c.model.vocab.size))
}

/** The file of a saved sequence of 40 tokens. */
async function saved(t: TestContext, of = smol): Promise<string> {
  const file = join(await temporaryDirectory(t), 'sequence.kv')
  using c = context(of)
  await decode(c, text(40), 0, 0)
  await c.saveSequence(0, file, text(40))
  return file
}

test('a restored sequence goes on as the one that was saved, bit for bit, in any slot', { skip }, async (t) => {
  const file = join(await temporaryDirectory(t), 'sequence.kv')
  using first = context()
  await decode(first, text(40), 0, 0)
  await first.saveSequence(0, file, text(40))
  const expected = await decode(first, [300], 40, 0)
  const chunk = await decode(first, text(20), 41, 0)

  using second = context()
  await decode(second, text(9), 0, 0)
  // What the slot held before is gone.
  await decode(second, text(3), 0, 2)
  for (const slot of [1, 2]) {
    assert.deepEqual(await second.restoreSequence(slot, file), text(40))
    assert.deepEqual(second.positions(slot), { first: 0, last: 39 })
    assert.ok(
      Buffer.compare(Buffer.from(expected.buffer), Buffer.from((await decode(second, [300], 40, slot)).buffer)) === 0,
    )
    assert.ok(
      Buffer.compare(Buffer.from(chunk.buffer), Buffer.from((await decode(second, text(20), 41, slot)).buffer)) === 0,
    )
  }
  assert.deepEqual(second.positions(0), { first: 0, last: 8 })
  t.diagnostic(`${((await stat(file)).size / 40 / 1024).toFixed(1)} KiB per token`)
})

test('a file that is cut short, damaged or missing is refused, and the context goes on', { skip }, async (t) => {
  const file = await saved(t)
  const { size } = await stat(file)
  using c = context()
  await decode(c, text(5), 0, 0)
  const broken = `${file}.broken`
  const refused = { code: 'prefix_invalid' }
  await assert.rejects(c.restoreSequence(1, broken), refused)
  for (const length of [0, 4, 11, 19, 100, size / 2, size - 9, size - 1]) {
    await copyFile(file, broken)
    await truncate(broken, Math.floor(length))
    await assert.rejects(c.restoreSequence(1, broken), refused, `${length} bytes`)
  }
  const bytes = await readFile(file)
  // Magic, version, tokens, counts, rows, checksum.
  for (const at of [0, 5, 9, 30, 12 + 4 * 40 + 5, 12 + 4 * 40 + 30, size >> 1, size - 6, size - 2]) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 0x40
    await writeFile(broken, changed)
    await assert.rejects(c.restoreSequence(1, broken), refused, `byte ${at}`)
  }
  assert.equal(c.positions(1), undefined)
  assert.deepEqual(c.positions(0), { first: 0, last: 4 })
  assert.deepEqual(await c.restoreSequence(1, file), text(40))
  await decode(c, [300], 5, 0)
})

test('a sequence of another model is refused with the reason, and the context goes on', {
  skip: skipAny,
}, async (t) => {
  const file = await saved(t)
  using stories = await Model.load(small.path)
  using other = context(stories)
  await decode(other, text(5), 0, 1)
  await assert.rejects(other.restoreSequence(1, file), { code: 'prefix_invalid', message: /layer count/ })
  assert.equal(other.positions(1), undefined, 'the slot was given up')
  await decode(other, text(5), 0, 1)

  const cut = await stageFiles(await readGguf(path), 'f'.repeat(64), [8], await temporaryDirectory(t))
  using stage = await Model.load(cut[0]!.path)
  using staged = context(stage)
  await assert.rejects(staged.restoreSequence(0, file), { code: 'prefix_invalid', message: /layer count/ })
})

test('a cache without room for the sequence says so and stays as it was', { skip: skipAny }, async (t) => {
  using stories = await Model.load(small.path)
  const file = await saved(t, stories)
  using c = context(stories)
  await decode(c, text(c.cells - 30), 0, 0)
  assert.equal(await c.restoreSequence(1, file), undefined)
  assert.equal(c.positions(1), undefined)
  c.sequenceRemove(0, c.cells - 50)
  assert.deepEqual(await c.restoreSequence(1, file), text(40))
})

test('only what a sequence holds is saved, and nothing else uses the context meanwhile', { skip }, async (t) => {
  const directory = await temporaryDirectory(t)
  using c = context()
  await decode(c, text(40), 0, 0)
  await assert.rejects(c.saveSequence(0, join(directory, 'a'), text(39)), { code: 'batch_invalid' })
  await assert.rejects(c.saveSequence(1, join(directory, 'a'), text(40)), { code: 'batch_invalid' })
  await assert.rejects(c.saveSequence(0, join(directory, 'no', 'such', 'folder'), text(40)), { code: 'prefix_invalid' })
  const saving = c.saveSequence(0, join(directory, 'a'), text(40))
  assert.throws(() => c.sequenceRemove(0, 0), { code: 'batch_invalid' })
  await saving
  const restoring = c.restoreSequence(1, join(directory, 'a'))
  c[Symbol.dispose]()
  await assert.rejects(restoring, { code: 'disposed' })
})

test('of a model with sliding-window attention a file has one window, which is enough to go on at its end', {
  skip: skipAny,
}, async (t) => {
  const file = join(await temporaryDirectory(t), 'window.gguf')
  await slidingWindowOf(await readGguf(small.path), file, 16)
  using windowed = await Model.load(file)
  assert.equal(windowed.window, 16)
  assert.equal(smol.window, 0)
  using c = context(windowed)
  await decode(c, text(40), 0, 0)
  await c.saveSequence(0, `${file}.kv`, text(40))
  assert.deepEqual(await c.restoreSequence(1, `${file}.kv`), text(40))
  assert.ok(c.positions(1)!.first > 0)
  assert.deepEqual(await decode(c, text(4), 40, 0), await decode(c, text(4), 40, 1))
})
