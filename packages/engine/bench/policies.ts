import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machineConstants } from '../src/core/schedule/machine-constants.ts'
import { defaultCacheDir, modelHash, readGguf, stageFiles } from '../src/gguf/index.ts'
import { Engine, type GenerateRequest } from '../src/index.ts'
import { Model } from '../src/llama/model.ts'
import { planLookaheads } from '../src/proposers/skim.ts'
import { templateOf } from '../src/runtime/load/template-of.ts'
import { promptTokens } from '../src/text/prompt.ts'
import { Plain } from '../src/tune/plain.ts'
import { mean, median, quantile, random, shuffle } from './numbers.ts'
import { lossyOf, regrets, type Said, type Survival, said, survivalOf } from './scoring.ts'
import { defaultModel, defaultPrompts, threads } from './surroundings.ts'
import { table } from './table.ts'

// What the lossy policies give and what they cost, against the strict ones in the same run; and how often drafts survive
// the strict rule at several temperatures. Prints Markdown tables; docs/benchmarks.md holds the last ones.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    prelude: { type: 'string' },
    at: { type: 'string', default: '3' },
    prompts: { type: 'string' },
    most: { type: 'string', default: '40' },
    seconds: { type: 'string', default: 'Infinity' },
    only: { type: 'string' },
  },
})
const chatModel = values.model ?? defaultModel
const prelude = values.prelude ?? join(import.meta.dirname, '../../../models/prelude-nano/prelude-nano.Q8_0.gguf')
const at = Number(values.at)
const temperatures = [0, 0.7, 1]

const lines = <T>(file: string): T[] =>
  readFileSync(join(values.prompts ?? defaultPrompts, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)

/** The list in a fixed random order: wherever time runs out, what was asked is a sample of all. */
function shuffled<T>(list: T[]): T[] {
  shuffle(list, random(1))
  return list.slice(0, Number(values.most))
}
const end = performance.now() + 1000 * Number(values.seconds)
const timeLeft = () => performance.now() < end
const percent = (share: number) => (Number.isNaN(share) ? '' : `${(100 * share).toFixed(1)}%`)
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)

/** A reply, what the full model thinks of it, and the strict reply to the same prompt. */
interface Pair {
  readonly reply: Said
  readonly strict: Said
  readonly gaps: readonly number[] | undefined
}

async function tolerant(): Promise<void> {
  using model = await Model.load(chatModel)
  const template = templateOf(model)!
  const suffix = model.vocab.tokenize(template.generationSuffix(), { special: true }).length
  using plain = new Plain(model, { cells: 1024, threads, outputs: 64 })
  await using engine = await Engine.load(chatModel, { cut: 'none', contextLength: 2048, cells: 8192, threads })
  const asked = shuffled(
    lines<{ turns: string[] }>('chat.jsonl')
      .map(({ turns }) => [{ role: 'user', content: turns[0]! }])
      .map((messages) => ({ messages, prompt: promptTokens(template, model.vocab, messages) }))
      .filter(({ prompt }) => prompt.length >= 200 && prompt.length <= 700),
  )
  const pairs = new Map<string, Pair[]>()
  const skims: Survival[][] = temperatures.map(() => [])
  const lookups = temperatures.map(() => ({ drafted: 0, accepted: 0 }))
  const lengths: number[] = []
  for (const { messages, prompt } of asked) {
    if (!timeLeft()) break
    lengths.push(prompt.length)
    // Strict twice: its two runs differ at near ties only, and that much the others may differ, too.
    const variants: [string, Partial<GenerateRequest>][] = [
      ['provisional', { policy: 'provisional' }],
      ['no speculation', { policy: 'committed', proposers: [] }],
      ...[0.8, 0.5, 0.3].map((alpha): [string, Partial<GenerateRequest>] => [
        `tolerant, alpha ${alpha}`,
        { policy: 'tolerant', alpha },
      ]),
    ]
    const replies: [string, Said][] = []
    for (const [name, options] of variants) {
      // A namespace each: none sees the rows of another, nor how it began its reply.
      const request = { messages, maxTokens: 16, minStability: 0.5, cacheSalt: name, ...options }
      replies.push([name, await said(engine, request)])
    }
    for (const [i, temperature] of temperatures.entries()) {
      const { timings } = await said(engine, {
        messages,
        maxTokens: 32,
        temperature,
        cacheSalt: 'provisional',
        proposers: ['lookup'],
      })
      lookups[i]!.drafted += timings.draftedN
      lookups[i]!.accepted += timings.acceptedN
    }

    // The prompt once, on the way what the first look sees, then every reply after it.
    plain.reset()
    const [look] = planLookaheads(prompt.length, suffix, machineConstants.tileRows)
    const drafter = new Float32Array(model.vocab.size)
    const from = look?.forkAt ?? 0
    if (look) {
      await plain.run(prompt.slice(0, from))
      await plain.run(prompt.slice(look.tailFrom))
      drafter.set(plain.logits())
      plain.reset(from)
    }
    await plain.run(prompt.slice(from))
    if (look) {
      for (const [i, temperature] of temperatures.entries()) {
        skims[i]!.push(survivalOf(plain.logits(), drafter, temperature))
      }
    }
    plain.reset(prompt.length - 1)
    const judged = new Map<string, number[] | undefined>()
    const [, strict] = replies[0]!
    for (const [name, reply] of replies) {
      if (!judged.has(reply.text)) {
        judged.set(reply.text, reply.tokens && (await regrets(plain, prompt.at(-1)!, reply.tokens)))
      }
      pairs.set(name, [...(pairs.get(name) ?? []), { reply, strict, gaps: judged.get(reply.text) }])
    }
  }
  console.log(
    `## tolerant (${lengths.length} prompts of ${Math.min(...lengths)} to ${Math.max(...lengths)} tokens, 16 of reply)\n`,
  )
  table(
    [
      'policy',
      'replies with a withdrawal',
      'tokens kept that the model would not have chosen',
      'replies with one',
      'nats lost per kept token',
      'not the plain pass’s choice',
      'text as strict',
    ],
    [...pairs].map(([name, list]) => {
      const kept = sum(list.map(({ reply }) => reply.timings.toleratedN))
      const lossy = list.flatMap(({ reply, gaps }) => (gaps ? lossyOf(reply, gaps) : []))
      const all = list.flatMap((pair) => pair.gaps ?? [])
      return [
        name,
        percent(mean(list.map(({ reply }) => Number(reply.timings.retractedN > 0)))),
        percent(kept / sum(list.map(({ reply }) => reply.timings.predictedN))),
        percent(mean(list.map(({ reply }) => Number(reply.timings.toleratedN > 0)))),
        kept === 0 ? '' : mean(lossy).toFixed(2),
        percent(mean(all.map((gap) => Number(gap > 0)))),
        percent(mean(list.map(({ reply, strict }) => Number(reply.text === strict.text)))),
      ]
    }),
  )
  const unread = [...pairs.values()].flat().filter(({ gaps }) => gaps === undefined).length
  if (unread > 0) console.log(`${unread} replies could not be cut into their tokens and are judged by text only.\n`)
  console.log('## Drafts under the strict rule, SmolLM2-135M\n')
  survivals('skim, first token', skims)
  table(
    ['temperature', 'lookup: drafted', 'kept, strict'],
    temperatures.map((temperature, i) => [
      temperature,
      lookups[i]!.drafted,
      percent(lookups[i]!.accepted / lookups[i]!.drafted),
    ]),
  )
}

function survivals(name: string, byTemperature: readonly (readonly Survival[])[]): void {
  table(
    ['temperature', name, 'kept, strict', 'overlap of the distributions', 'kept, tolerant at 0.5'],
    temperatures.map((temperature, i) => {
      const list = byTemperature[i]!
      return [
        temperature,
        list.length,
        percent(mean(list.map(({ strict }) => strict))),
        percent(mean(list.map(({ overlap }) => overlap))),
        percent(mean(list.map((one) => one.tolerant))),
      ]
    }),
  )
}

async function confident(): Promise<void> {
  using model = await Model.load(prelude)
  const contextLength = Math.min(512, model.trainingContext)
  const options = { contextLength, threads }
  await using engine = await Engine.load(prelude, { ...options, cut: [at] })
  if (!engine.info.proposers.exit.available) {
    console.log(`confident: ${engine.info.proposers.exit.note ?? engine.info.cutRefused}\n`)
    return
  }
  await using whole = await Engine.load(prelude, { ...options, cut: 'none' })
  const maxTokens = 32
  using plain = new Plain(model, { cells: contextLength, threads, outputs: maxTokens })
  // The first stage with its head: what the exit says after any token.
  const [stage] = await stageFiles(
    await readGguf(prelude),
    await modelHash(prelude, defaultCacheDir()),
    [at],
    defaultCacheDir(),
  )
  using exitModel = await Model.load(stage!.path)
  using exit = new Plain(exitModel, { cells: contextLength, threads, outputs: maxTokens })
  const asked = shuffled(
    lines<{ prompt: string }>('code.jsonl')
      .map(({ prompt }) => model.vocab.tokenize(prompt, { addBos: model.vocab.addsBos }))
      .filter((prompt) => prompt.length + maxTokens < contextLength),
  )
  const pairs = new Map<string, Pair[]>()
  const exits: Survival[][] = temperatures.map(() => [])
  for (const prompt of asked) {
    if (!timeLeft()) break
    const request = { prompt, maxTokens, cachePrompt: false }
    const replies: [string, Said][] = [['committed', await said(engine, request)]]
    for (const minStability of [0.95, 0.9, 0.8]) {
      const reply = await said(engine, { ...request, policy: 'confident', minStability })
      replies.push([`confident, ${minStability}`, reply])
    }
    replies.push(['committed, not cut, no speculation', await said(whole, { ...request, proposers: [] })])
    plain.reset()
    await plain.run(prompt.slice(0, -1))
    const [, strict] = replies[0]!
    for (const [name, reply] of replies) {
      const gaps = reply.tokens && (await regrets(plain, prompt.at(-1)!, reply.tokens))
      pairs.set(name, [...(pairs.get(name) ?? []), { reply, strict, gaps }])
    }
    if (strict.tokens) {
      const rows = [prompt.at(-1)!, ...strict.tokens.slice(0, -1)]
      exit.reset()
      await exit.run(prompt.slice(0, -1))
      await Promise.all([plain.run(rows, 0), exit.run(rows, 0)])
      const [p, q] = [new Float32Array(model.vocab.size), new Float32Array(model.vocab.size)]
      for (let row = 0; row < rows.length; row += 4) {
        plain.context.logits(row, p)
        exit.context.logits(row, q)
        for (const [i, temperature] of temperatures.entries()) exits[i]!.push(survivalOf(p, q, temperature))
      }
    }
  }
  console.log(
    `## confident (${pairs.get('committed')?.length} code prompts, ${maxTokens} tokens of reply, exit after ${at} layers)\n`,
  )
  const bits = (nats: number) => (nats / Math.LN2).toFixed(3)
  const perSecond = ({ timings }: Said) => (timings.predictedN - 1) / timings.predictedMs
  table(
    [
      'policy, min_stability',
      'said by the exit',
      'of these the model’s choice',
      'bits lost per such token',
      'bits lost per token',
      'text as strict',
      'tokens/s, ratio to strict',
      'first token, ratio to strict: median / best tenth',
    ],
    [...pairs].map(([name, list]) => {
      const judged = list.filter(({ gaps }) => gaps !== undefined)
      const gaps = judged.flatMap((pair) => pair.gaps ?? [])
      const early = judged.flatMap(({ reply, gaps }) => lossyOf(reply, gaps ?? []))
      const firsts = list.map(({ reply, strict }) => reply.timings.committedMs! / strict.timings.committedMs!)
      return [
        name,
        percent(early.length / gaps.length),
        percent(mean(early.map((gap) => Number(gap === 0)))),
        early.length === 0 ? '' : bits(mean(early)),
        bits(mean(gaps)),
        percent(mean(list.map(({ reply, strict }) => Number(reply.text === strict.text)))),
        median(list.map(({ reply, strict }) => perSecond(reply) / perSecond(strict))).toFixed(2),
        `${median(firsts).toFixed(2)} / ${quantile(firsts, 0.1).toFixed(2)}`,
      ]
    }),
  )
  const unread = [...pairs.values()].flat().filter(({ gaps }) => gaps === undefined).length
  if (unread > 0) console.log(`${unread} replies could not be cut into their tokens and are not judged.\n`)
  console.log('## Drafts under the strict rule, Prelude\n')
  survivals(`exit after ${at} layers, tokens`, exits)
}

// `--only tolerant` or `--only confident` runs one part.
if (values.only === undefined || values.only === 'tolerant') await tolerant()
if (values.only === undefined || values.only === 'confident') await confident()
