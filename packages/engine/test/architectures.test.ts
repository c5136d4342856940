import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Engine, type GenerateRequest } from '../src/index.ts'
import { Comparison, type Prompt } from './compare.ts'
import { freeRows } from './costs.ts'
import { modelFolder } from './fixtures/gguf.ts'
import { full } from './fixtures/test-size.ts'
import { type Answer, answerOf, greedy, Reference } from './reference.ts'

/*
 * Every kind of memory that llama.cpp has, on tiny models with random weights: whatever is used again, runs at once, was
 * cancelled or typed, the reply is that of plain decoding but for near ties. INCIPIT_ARCHS names a folder with more of them:
 * llama.cpp's `test-llama-archs -o FOLDER` writes one of each architecture.
 */
const folder = process.env.INCIPIT_ARCHS ?? join(modelFolder, 'archs')
const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.gguf')) : []
/** Models that do not say one token after the other. */
const noDecoders = /^(dream|llada|llada-moe|rnd1)-/
const maxTokens = 12

const base = Array.from({ length: 150 }, (_, i) => ((i * 7) % 120) + 4)
/** One begins like the one before and goes on, one parts in its middle, one begins elsewhere. */
const again = [base, [...base, 5, 6, 7], [...base.slice(0, 100), 9, 9], base.slice(3)]
/** Long enough for lookaheads. */
const long = Array.from({ length: 236 }, (_, i) => ((i * i) % 110) + 5)
const prompts: Prompt[] = [...again, long].map((prompt) => ({ prompt }))
const short = [0, 1, 2, 3]
// llama-server reuses 146 tokens on these prompts in this order where it keeps states, and where it keeps rows also the 100
// of the prompt that parts in the middle of the one before.
const leastReused = { states: 0.95 * 146, rows: 0.95 * 250 }

// Whatever guesses cost on this machine, they are tried.
freeRows(() => 48)

let cacheDir: string
before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-archs-'))
})
after(() => rm(cacheDir, { recursive: true, force: true }))

for (const file of files) {
  const name = file.replace(/\.Q8_0\.gguf$|\.gguf$/, '')
  const path = join(folder, file)
  const load = () => Engine.load(path, { cacheDir, threads: 1, cut: 'none', contextLength: 512 })

  if (noDecoders.test(name)) {
    test(`${name} is refused by name`, async () => {
      await assert.rejects(load(), { code: 'model_unsupported', message: /diffusion model/ })
    })
    continue
  }

  test(name, { timeout: 120_000 }, async (t) => {
    using reference = await Reference.load(path, { cells: 512, threads: 1 })
    const comparison = new Comparison(reference, prompts, { maxTokens })
    await using engine = await load()
    const alone: Partial<GenerateRequest> = { proposers: [], cachePrompt: false }
    await comparison.run(engine, { name: 'plain, alone', together: 1, options: () => alone }, short)
    const { cached } = await comparison.run(
      engine,
      { name: 'one after the other', together: 1, options: () => ({ proposers: [] }) },
      short,
    )
    const least = engine.info.memory.kind === 'recurrent' ? leastReused.states : leastReused.rows
    assert.ok(cached >= least, `${cached} tokens are used again`)
    // A short run leaves it to those that share what they have computed.
    if (full) await comparison.run(engine, { name: 'at once', together: 4, options: () => alone }, short)
    await comparison.run(engine, { name: 'at once, shared', together: 4, options: () => ({ cacheSalt: 'b' }) }, short)
    const guessing = { name: 'guessing', together: 4, options: speculating }
    const { drafted } = await comparison.run(engine, guessing)
    assert.equal(drafted > 0, engine.info.proposers.prediction.available, `${drafted} guesses`)

    const controller = new AbortController()
    const events = engine.generate({ prompt: base, maxTokens: 50, signal: controller.signal })
    for await (const _ of events) controller.abort()
    const after = await comparison.run(engine, { name: 'after one that was cancelled', together: 1 }, [0])
    assert.ok(after.cached >= leastReused.states, `${after.cached} tokens of the same prompt are used again`)

    await typed(engine, reference)
    for (const line of comparison.table()) t.diagnostic(line)
  })
}

/** Of each kind one model whose layers with a window keep one for each sequence and no more. */
for (const name of ['gemma3-dense', 'gpt-oss-moe']) {
  const path = join(folder, `${name}.Q8_0.gguf`)
  if (!existsSync(path)) continue
  test(`${name}, with windows alone`, { timeout: 120_000 }, async (t) => {
    using reference = await Reference.load(path, { cells: 512, threads: 1 })
    const comparison = new Comparison(reference, prompts, { maxTokens })
    const options = {
      cacheDir,
      threads: 1,
      cut: 'none',
      contextLength: 1024,
      slidingWindow: 'alone',
      parallel: 4,
    } as const
    await using engine = await Engine.load(path, options)
    assert.equal(engine.info.memory.allRows, false)
    assert.match(engine.info.proposers.skim.note ?? '', /one window/)
    const { cached } = await comparison.run(engine, { name: 'one after the other', together: 1 })
    assert.ok(cached >= leastReused.states, `${cached} tokens are used again`)
    await comparison.run(engine, { name: 'at once, shared', together: 4, options: () => ({ cacheSalt: 'b' }) })
    const { drafted } = await comparison.run(engine, { name: 'guessing', together: 4, options: speculating })
    assert.ok(drafted > 0)
    await typed(engine, reference)
    for (const line of comparison.table()) t.diagnostic(line)
  })
}

/** A recurrent model drafts for others and for itself, and is brought back where it was wrong. */
const drafting = [
  ['qwen3-dense', 'qwen35-dense'],
  ['falcon-h1-dense', 'falcon-h1-dense'],
  ['qwen35-dense', 'mamba2-dense'],
] as const
for (const [target, draft] of drafting) {
  const [path, draftPath] = [target, draft].map((name) => join(folder, `${name}.Q8_0.gguf`)) as [string, string]
  if (!existsSync(path) || !existsSync(draftPath)) continue
  test(`${draft} drafts for ${target}`, { timeout: 120_000 }, async (t) => {
    using reference = await Reference.load(path, { cells: 512, threads: 1 })
    const comparison = new Comparison(reference, prompts, { maxTokens: 2 * maxTokens })
    const options = { cacheDir, threads: 1, cut: 'none', contextLength: 512, draft: draftPath } as const
    await using engine = await Engine.load(path, options)
    const way = { name: 'drafting', options: () => ({ proposers: ['draft' as const] }) }
    const totals = [
      await comparison.run(engine, { ...way, together: 1 }, short),
      await comparison.run(engine, { ...way, together: 4 }, short),
    ]
    for (const { drafted, accepted } of totals) {
      assert.ok(drafted > 0, 'nothing was drafted')
      if (draft === target) assert.ok(accepted >= 0.9 * drafted, `${accepted} of ${drafted}`)
    }
    for (const line of comparison.table()) t.diagnostic(line)
  })
}

/** Every guess is tried and shown, also those of a prediction with a mistake. */
function speculating(index: number, { text }: Answer): Partial<GenerateRequest> {
  const half = Math.floor(text.length / 2)
  return {
    cacheSalt: 'c',
    policy: 'provisional',
    minStability: 0,
    proposers: ['opening', 'skim', 'lookup', 'prediction'],
    ...(index % 2 === 0 && { prediction: `${text.slice(0, half)}00${text.slice(half)}` }),
  }
}

/** A text that is typed, changed in its middle and taken back is replied to as in one piece. */
async function typed(engine: Engine, reference: Reference): Promise<void> {
  using input = engine.open({ raw: true, maxTokens })
  const computed = () => engine.idle()
  input.append('0123456789abcdef'.repeat(4))
  await computed()
  input.append('fedcba98')
  await computed()
  input.replace(40, 'aa')
  await computed()
  input.append('77')
  const { text } = input
  let cached = 0
  const answer = await answerOf(input.respond({ temperature: 0 }), (event) => {
    if (event.type === 'done') cached = event.usage.cachedTokens
  })
  const question = { prompt: reference.tokens({ prompt: text }), sampling: greedy, maxTokens }
  const { length } = question.prompt
  assert.ok(cached >= length - 24, `${cached} of ${length} typed tokens were computed`)
  await reference.ties(question, answer, await reference.tieWidth([question.prompt], maxTokens))
  await engine.idle()
  assert.deepEqual(engine.audit(), [])
}
