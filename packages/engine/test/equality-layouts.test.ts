import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { maskOf } from '../src/core/sampling/token-mask.ts'
import { modelHash, readGguf, stageFiles } from '../src/gguf/index.ts'
import { Engine, type EngineOptions, type GenerateRequest, type ModelInfo, type ProposerName } from '../src/index.ts'
import { type Choice, Comparison } from './compare.ts'
import { freeRows } from './costs.ts'
import { RuledState, type Rules } from './fixtures/constraints.ts'
import { model } from './fixtures/gguf.ts'
import { prelude } from './fixtures/prelude.ts'
import { full } from './fixtures/test-size.ts'
import { type Answer, Reference } from './reference.ts'

/*
 * The promise of equality.test.ts under every layout: KV caches for all or for each, stages on one device or several, all
 * proposers, rows that are used again, requests that lose their place. On two small models: one of floats, whose ties are
 * narrow, so that a difference which is none has nowhere to hide; and one with a trained exit.
 */
const models = {
  stories: { ...model('stories260K.gguf'), prompts: 'short' },
  prelude: {
    path: prelude,
    skip: false,
    prompts: 'code',
  },
} as const
type ModelName = keyof typeof models

const contextLength = 512
const [shortPrompts, longPrompts] = full ? [20, 4] : [10, 4]
freeRows(() => 24)

let directory: string
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'incipit-layouts-'))
})
after(async () => {
  for (const { reference } of await Promise.all(comparisons.values())) reference[Symbol.dispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Prompts of different lengths: some begin alike, some are long enough for looks. */
async function promptsOf(name: ModelName): Promise<{ prompt: string }[]> {
  const lines = await readFile(join(import.meta.dirname, `../prompts/${models[name].prompts}.jsonl`), 'utf8')
  const all = lines
    .trim()
    .split('\n')
    .map((line): string => JSON.parse(line).prompt.slice(0, 300))
  const short = all
    .slice(0, shortPrompts)
    .map((text, i) => (i % 3 === 0 ? `Told to all who came, and written: ${text}` : text))
  const long = Array.from({ length: longPrompts }, (_, i) => 6 * i).map((from) =>
    all
      .slice(from, from + 12)
      .join('\n')
      .slice(0, 560 + 5 * from),
  )
  return [...short, ...long].map((prompt) => ({ prompt }))
}

/** Indices of every so many-th prompt. */
const every = (n: number) => Array.from({ length: (shortPrompts + longPrompts) / n }, (_, i) => n * i)

interface Compared {
  readonly reference: Reference
  readonly comparison: Comparison
}

async function loadComparison(name: ModelName, maxTokens: number): Promise<Compared> {
  const reference = await Reference.load(models[name].path, { cells: contextLength, threads: 1 })
  return { reference, comparison: new Comparison(reference, await promptsOf(name), { maxTokens }) }
}

/** What plain decoding says of a model, once for all tests. */
const comparisons = new Map<ModelName, Promise<Compared>>()

async function comparisonOf(name: ModelName): Promise<Comparison> {
  let loading = comparisons.get(name)
  if (loading === undefined) {
    loading = loadComparison(name, 16)
    comparisons.set(name, loading)
  }
  return (await loading).comparison
}

function load(name: ModelName, options: EngineOptions): Promise<Engine> {
  return Engine.load(models[name].path, { cacheDir: directory, threads: 1, contextLength, ...options })
}

const sampled = (index: number): Choice => ({
  temperature: 0.8,
  seed: 7 * index + 5,
  ...(index % 2 === 0 ? { topP: 0.9, minP: 0.02 } : {}),
})
const plain = (): Partial<GenerateRequest> => ({ proposers: [] })
/**
 * Every guess is tried and, where the policy shows any, shown. Every fourth request predicts its reply, with a mistake.
 * @param cacheSalt a new one begins with empty caches
 */
const speculating =
  (cacheSalt: string) =>
  (index: number, { text }: Answer): Partial<GenerateRequest> => ({
    cacheSalt,
    policy: index % 2 === 0 ? 'provisional' : 'committed',
    proposers: ['opening', 'skim', 'exit', 'lookup', 'prediction', 'grammar', 'draft'],
    minStability: 0,
    ...(index % 4 === 1 ? { prediction: `${text.slice(0, text.length / 2)}#${text.slice(text.length / 2 + 3)}` } : {}),
  })

/** Prints the rows since `first`, and who drafted. */
function report(t: TestContext, comparison: Comparison, engine: Engine, first = 0): void {
  for (const line of comparison.table(first)) t.diagnostic(line)
  const { proposers, branched, preempted } = engine.stats()
  const counts = Object.entries(proposers).map(([name, { drafted, accepted }]) => `${name} ${accepted}/${drafted}`)
  t.diagnostic(`accepted: ${counts.join(', ')}; ${branched} branches were right; ${preempted} requests gave way`)
}

/** Somebody's guesses were right at times and wrong at others: both ways of the code ran. */
function assertProposed(engine: Engine, ...names: ProposerName[]): void {
  const { proposers } = engine.stats()
  for (const name of names) {
    const { drafted, accepted } = proposers[name] ?? { drafted: 0, accepted: 0 }
    // Looks are few here and may all be right; equality.test.ts has wrong ones.
    const wrong = name === 'skim' || accepted < drafted
    assert.ok(accepted > 0 && wrong, `${name}: ${accepted} of ${drafted} accepted`)
  }
}

interface Layout {
  readonly name: string
  readonly model: ModelName
  readonly options: EngineOptions
  readonly info: Partial<Pick<ModelInfo, 'cache' | 'stages'>>
  readonly proposers: readonly ProposerName[]
}

const always = ['opening', 'skim', 'lookup', 'prediction'] as const
const layouts: readonly Layout[] = [
  {
    name: 'one cache for all',
    model: 'stories',
    options: { parallel: 3 },
    info: { cache: 'unified', stages: [[0, 5]] },
    proposers: always,
  },
  {
    name: 'a cache for each',
    model: 'stories',
    options: { parallel: 8 },
    info: { cache: 'separate', stages: [[0, 5]] },
    proposers: always,
  },
  {
    name: 'three stages on three devices, one cache for all',
    model: 'stories',
    options: { parallel: 8, cells: 3000, cut: [1, 3], threads: [1, 1, 1] },
    info: {
      cache: 'unified',
      stages: [
        [0, 1],
        [1, 3],
        [3, 5],
      ],
    },
    proposers: always,
  },
  {
    name: 'two stages and an exit, one cache for all',
    model: 'prelude',
    options: { parallel: 3, cut: [3] },
    info: { cache: 'unified' },
    proposers: [...always, 'exit'],
  },
  {
    name: 'two stages on two devices',
    model: 'prelude',
    options: { parallel: 8, cut: [3], threads: [1, 1] },
    info: { cache: 'unified' },
    proposers: [...always, 'exit'],
  },
]

for (const { name, model, options, info, proposers } of layouts) {
  test(`${model}: ${name}`, { skip: models[model].skip, timeout: 300_000 }, async (t) => {
    const comparison = await comparisonOf(model)
    const first = comparison.rows.length
    await using engine = await load(model, options)
    for (const [key, value] of Object.entries(info)) assert.deepEqual(engine.info[key as keyof ModelInfo], value)
    if (full) await comparison.run(engine, { name: 'greedy, plain, 8 in flight', together: 8, options: plain })
    await comparison.run(engine, { name: 'greedy, alone', together: 1, options: speculating('a') }, every(3))
    // A short run leaves out what other ways cover.
    if (full) await comparison.run(engine, { name: 'greedy, 8 in flight', together: 8, options: speculating('b') })
    const way = { together: 8, choice: sampled, options: speculating('c') }
    await comparison.run(engine, { ...way, name: 'sampled, 8 in flight' })
    const again = await comparison.run(engine, { ...way, name: 'the same again' }, every(2))
    assert.ok(again.cached > 0)
    const copies = Array.from({ length: 16 }, (_, i) => (i < 8 ? shortPrompts : 3))
    await comparison.run(engine, { name: 'the same at once', together: 8, options: speculating('d') }, copies)
    report(t, comparison, engine, first)
    assertProposed(engine, ...proposers)
  })
}

for (const bad of [false, true]) {
  test(`a second model that is ${bad ? 'nearly always wrong' : 'the same'} drafts`, {
    skip: models.stories.skip,
    timeout: 300_000,
  }, async (t) => {
    const { path } = models.stories
    const comparison = await comparisonOf('stories')
    const first = comparison.rows.length
    const [cut] = await stageFiles(await readGguf(path), await modelHash(path, directory), [1], directory)
    await using engine = await load('stories', { parallel: bad ? 8 : 3, draft: bad ? cut!.path : path })
    const options = () => ({ proposers: ['draft' as const] })
    await comparison.run(engine, { name: 'greedy, 8 in flight', together: 8, options })
    await comparison.run(engine, { name: 'sampled, 8 in flight', together: 8, choice: sampled, options })
    const besides = { name: 'sampled, beside others', together: 8, choice: sampled, options: speculating('') }
    await comparison.run(engine, besides)
    report(t, comparison, engine, first)
    const { drafted, accepted } = engine.stats().proposers.draft!
    assert.ok(bad ? accepted < 0.4 * drafted : accepted > 0.9 * drafted && drafted > 100)
  })
}

/** No token has an e, and every sentence begins with these words. */
function lipogram(reference: Reference): Rules {
  const phrase = reference.tokens({ prompt: ' and so' }).slice(1)
  const pieces = Array.from({ length: 512 }, (_, token) => reference.bytesOf(token))
  const without = maskOf(
    pieces.flatMap((piece, token) => (piece.includes('e') ? [] : [token])),
    pieces.length,
  )
  const next = (reply: readonly number[]) => {
    const sentence = reply.length - 1 - reply.findLastIndex((token) => pieces[token] === '.')
    return phrase.slice(sentence)
  }
  return {
    allowed: (reply) => {
      const [forced] = next(reply)
      return forced === undefined ? without : maskOf([forced], pieces.length)
    },
    forced: next,
  }
}

test('replies that a grammar rules', { skip: models.stories.skip, timeout: 300_000 }, async (t) => {
  const { path } = models.stories
  using reference = await Reference.load(path, { cells: contextLength, threads: 1 })
  const rules = lipogram(reference)
  const comparison = new Comparison(reference, await promptsOf('stories'), { maxTokens: 32, rules })
  const constraint = { type: 'grammar', grammar: 'no e' } as const
  const ruled = () => ({ constraint })
  const sampledRuled = (index: number) => ({ ...sampled(index), constraint })
  const constraints = () => new RuledState(rules)
  await using engine = await load('stories', { parallel: 8, draft: path, constraints })
  await comparison.run(engine, { name: 'greedy, plain, 8 in flight', together: 8, choice: ruled, options: plain })
  await comparison.run(engine, { name: 'greedy, 8 in flight', together: 8, choice: ruled, options: speculating('') })
  await comparison.run(engine, {
    name: 'sampled, 8 in flight',
    together: 8,
    choice: sampledRuled,
    options: speculating(''),
  })
  report(t, comparison, engine)
  assertProposed(engine, 'lookup', 'prediction')
  const { drafted, accepted } = engine.stats().proposers.grammar!
  assert.ok(drafted > 0 && accepted > 0.9 * drafted)
})

test('requests that lose their place go on where they were', {
  skip: models.stories.skip,
  timeout: 300_000,
}, async (t) => {
  const { reference, comparison } = await loadComparison('stories', 120)
  using _ = reference
  // Room for three or four of the prompts and replies.
  await using engine = await load('stories', { parallel: 8, cells: 600 })
  assert.equal(engine.info.cache, 'unified')
  const some = every(full ? 2 : 1)
  await comparison.run(engine, { name: 'plain, 8 in flight', together: 8, options: plain }, some)
  await comparison.run(engine, { name: 'speculating, 8 in flight', together: 8, options: speculating('') }, some)
  const before = engine.stats().preempted
  assert.ok(before > 0)
  // Batch jobs give way to others.
  const tiers = (index: number, expected: Answer): Partial<GenerateRequest> => ({
    ...speculating('')(index, expected),
    tier: index % 4 === 0 ? 'batch' : 'npc',
  })
  await comparison.run(engine, { name: 'batch jobs and others', together: 8, choice: sampled, options: tiers }, some)
  report(t, comparison, engine)
  assert.ok(engine.stats().preempted > before)
})
