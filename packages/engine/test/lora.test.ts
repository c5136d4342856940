import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { EngineApi } from '../src/api/index.ts'
import { readGguf } from '../src/gguf/index.ts'
import { Engine, type EngineOptions } from '../src/index.ts'
import { model } from './fixtures/gguf.ts'
import { type LoraToWrite, writeLora, writeMerged } from './fixtures/lora.ts'
import { spawned } from './fixtures/spawned.ts'

// An adapter changes a model as if its product were added to the weights.

const { path, skip } = model('stories260K.gguf')
const targets = ['blk.0.attn_q', 'blk.1.ffn_down', 'blk.4.attn_output', 'output']
const story: LoraToWrite = { targets, seed: 1 }
const prompt = 'Once upon a time there was a little girl who had a red ball.'

let directory: string
const file = (name: string) => join(directory, name)
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'incipit-lora-'))
  if (skip) return
  const base = await readGguf(path)
  const has = (name: string) => base.tensors.some((tensor) => tensor.name === `${name}.weight`)
  assert.ok(targets.slice(0, 3).every(has))
  // Tied to the embedding in some files.
  const own = { ...story, targets: targets.filter(has) }
  await writeLora(base, file('story.gguf'), own)
  await writeMerged(base, file('merged.gguf'), own, 1)
  await writeMerged(base, file('half.gguf'), own, 0.5)
  await writeLora(base, file('other-architecture.gguf'), { ...own, architecture: 'qwen2' })
  await writeLora(base, file('other-tensor.gguf'), { targets: ['blk.9.attn_q'], seed: 1 })
  await writeLora(base, file('other-shape.gguf'), { ...own, tooWide: 8 })
})
after(() => rm(directory, { recursive: true, force: true }))

const load = (model: string, options: EngineOptions = {}) =>
  Engine.load(model, { threads: 1, cacheDir: join(directory, 'cache'), ...options })

/** What a model says, and what it holds of the prompt. */
async function said(engine: EngineApi) {
  let text = ''
  const logprobs: number[] = []
  for await (const event of engine.generate({ prompt, maxTokens: 30, promptLogprobs: 0, cachePrompt: false })) {
    if (event.type === 'delta') text += event.text
    if (event.type === 'prompt')
      logprobs.push(...event.tokens.slice(event.from === 0 ? 1 : 0).map((one) => one.logprob!))
  }
  return { text, logprobs }
}

const widest = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((one, i) => Math.abs(one - b[i]!)))

test('a model with an adapter is the model with the product added to its weights', { skip }, async () => {
  await using base = await load(path)
  const plain = await said(base)
  const cases: [string, number][] = [
    ['merged.gguf', 1],
    ['half.gguf', 0.5],
  ]
  for (const [merged, scale] of cases) {
    await using engine = await load(path, { loras: [{ path: file('story.gguf'), scale }] })
    await using expected = await load(file(merged))
    const [adapted, wanted] = [await said(engine), await said(expected)]
    // Sums are taken in another order. What the adapter changes is a thousand times as much.
    assert.ok(widest(adapted.logprobs, wanted.logprobs) < 1e-3, `${widest(adapted.logprobs, wanted.logprobs)}`)
    assert.ok(widest(adapted.logprobs, plain.logprobs) > 0.1)
    assert.notEqual(adapted.text, plain.text)
    assert.deepEqual(engine.info.loras, [{ path: file('story.gguf'), scale }])
  }
  await using none = await load(path, { loras: [{ path: file('story.gguf'), scale: 0 }] })
  assert.deepEqual(await said(none), plain)
  await using twice = await load(path, {
    loras: [
      { path: file('story.gguf'), scale: 0.25 },
      { path: file('story.gguf'), scale: 0 },
    ],
  })
  assert.notDeepEqual(await said(twice), plain)
})

test('rows that were saved belong to a model and its adapters', { skip }, async () => {
  const prefix = { prompt: `${prompt} She` }
  const cacheDir = join(directory, 'prefixes')
  const reused = async (options: EngineOptions) => {
    await using engine = await load(path, { cacheDir, ...options })
    return (await engine.prefill(prefix)).cachedTokens > 0
  }
  {
    await using engine = await load(path, { cacheDir })
    await engine.pinPrefix('story', prefix)
  }
  assert.equal(await reused({}), true)
  assert.equal(await reused({ loras: [{ path: file('story.gguf') }] }), false)
})

test('in a process of its own the adapters come along', { skip, timeout: 60_000 }, async (t) => {
  await using own = await load(path, { loras: [{ path: file('story.gguf') }] })
  const { engine } = await spawned(t, path, { loras: [{ path: file('story.gguf') }] })
  assert.deepEqual(await said(engine), await said(own))
  assert.deepEqual(engine.info.loras, own.info.loras)
})

test('what is no adapter of the model is refused, and says why', { skip }, async () => {
  const refused = (name: string, code: string, message: RegExp) =>
    assert.rejects(load(path, { loras: [{ path: name }] }), (error: Error & { code: string }) => {
      assert.equal(error.code, code)
      assert.match(error.message, message)
      return true
    })
  await refused(path, 'adapter_mismatch', /is no LoRA adapter/)
  await refused(file('other-architecture.gguf'), 'adapter_mismatch', /architecture 'qwen2'.*'llama'/)
  await refused(file('other-tensor.gguf'), 'adapter_mismatch', /blk\.9\.attn_q.*does not exist/)
  await refused(file('other-shape.gguf'), 'adapter_mismatch', /incorrect shape/)
  await refused(file('missing.gguf'), 'model_not_found', /missing\.gguf/)
  await refused(import.meta.filename, 'model_invalid', /lora\.test\.ts/)
  const loras = [{ path: file('story.gguf') }]
  await assert.rejects(load(path, { loras, cut: [2] }), { code: 'invalid_request', param: 'cut' })
  await assert.rejects(load(path, { loras: [{ path: file('story.gguf'), scale: Number.NaN }] }), {
    code: 'invalid_request',
    param: 'loras',
  })
})
