import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Engine, type GenerateRequest, type ProposerName } from '../src/index.ts'
import { Model } from '../src/llama/model.ts'
import { minPrompt } from '../src/proposers/skim.ts'
import { Plain } from '../src/tune/plain.ts'
import { firstWords, summary, timingsOf, type Way } from './first-word-times.ts'
import { median } from './numbers.ts'
import { defaultModel, defaultPrompts, requireFiles, threads } from './surroundings.ts'
import { table } from './table.ts'

// First words: how soon, against the same prompt through one plain llama.cpp context in the same run, and how often the
// first guess survives. Prints Markdown tables; docs/benchmarks.md holds the last ones.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    prompts: { type: 'string' },
    at: { type: 'string' },
    runs: { type: 'string', default: '7' },
    every: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
})
const modelPath = values.model ?? defaultModel
const promptDir = values.prompts ?? defaultPrompts
requireFiles({ '--model': modelPath })
const runs = Number(values.runs)

interface ChatLine {
  category: string
  turns: string[]
}
const lines = <T>(file: string): T[] =>
  readFileSync(join(promptDir, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
const chat = lines<ChatLine>('chat.jsonl')
const code = lines<{ prompt: string }>('code.jsonl')

async function speed(): Promise<void> {
  using model = await Model.load(modelPath)
  using plain = new Plain(model, { cells: 2048, threads })
  await using skimming = await Engine.load(modelPath, { cut: 'none', contextLength: 2048, threads })
  await using exiting = await Engine.load(modelPath, {
    cut: values.at ? [Number(values.at)] : 'auto',
    contextLength: 2048,
    threads,
  })
  const hasExit = exiting.info.proposers.exit.available
  if (!hasExit) console.log(`exit: ${exiting.info.proposers.exit.note}\n`)
  const corpus = model.vocab.tokenize(chat.map(({ turns }) => turns[0]).join('\n\n'))
  const ways: Way[] = [
    ...(hasExit ? [{ name: 'exit', engine: exiting, proposers: ['exit'] as const }] : []),
    { name: 'skim', engine: skimming, proposers: ['skim'] },
  ]
  const rows: (string | number)[][] = []
  for (const length of [64, 512, 1500]) {
    for (const times of await firstWords(plain, ways, corpus, { length, runs })) {
      const { plain, provisional, committed, early, ratio } = summary(times)
      rows.push([
        length,
        times.name,
        plain.toFixed(0),
        provisional === undefined ? 'none' : provisional.toFixed(0),
        committed.toFixed(0),
        early === undefined ? '' : early.toFixed(2),
        ratio.toFixed(3),
      ])
    }
  }
  console.log(`## Speed (${cpus()[0]?.model}, ${threads} threads, medians of ${runs})\n`)
  table(
    [
      'prompt tokens',
      'proposer',
      'plain TTFT ms',
      'provisional ms',
      'committed ms',
      'provisional / committed',
      'committed / plain',
    ],
    rows,
  )
  const engines: [string, Engine][] = [['one stage', skimming]]
  if (hasExit) engines.push(['staged', exiting])
  table(
    ['engine', 'steps', 'ms per step outside llama_decode'],
    engines.map(([name, engine]) => {
      const { steps, overheadMs } = engine.stats()
      return [name, steps, (overheadMs / steps).toFixed(2)]
    }),
  )
}

interface Case {
  family: string
  /** With every guess shown: when the first one came, as a share of the committed TTFT, and whether it survived. */
  r: number
  survived: boolean
  /** The same with guesses shown from stability 0.9 on; undefined when none was. */
  gated: { r: number; survived: boolean } | undefined
}

async function survival(proposer: ProposerName): Promise<void> {
  const at = values.at ? [Number(values.at)] : ('auto' as const)
  await using engine = await Engine.load(modelPath, { cut: proposer === 'skim' ? 'none' : at, contextLength: 4096 })
  if (!engine.info.proposers[proposer].available) {
    console.log(`${proposer}: ${engine.info.proposers[proposer].note}\n`)
    return
  }
  const requests: { family: string; request: GenerateRequest }[] = [
    ...chat.map(({ category, turns }) => ({
      family: family(category),
      request: { messages: [{ role: 'user', content: turns[0]! }] },
    })),
    ...code.map(({ prompt }) => ({ family: 'code (raw)', request: { prompt } })),
  ]
  const cases: Case[] = []
  let without = 0
  for (const [index, { family, request }] of requests.entries()) {
    if (index % Number(values.every) !== 0) continue
    const tokens = engine.tokenize(request.messages ? engine.renderChat(request.messages) : String(request.prompt), {
      special: request.messages !== undefined,
    })
    if (proposer === 'skim' && tokens.length < minPrompt) {
      without++
      continue
    }
    const shown = async (minStability: number) => {
      const { timings, first, text } = await timingsOf(engine, {
        ...request,
        maxTokens: 1,
        policy: 'provisional',
        minStability,
        proposers: [proposer],
        // Or the second run would find the rows of the first.
        cachePrompt: false,
      })
      if (first === '' || timings.committedMs === null || timings.provisionalMs === null) return undefined
      return { r: timings.provisionalMs / timings.committedMs, survived: first === text }
    }
    const all = await shown(0)
    if (all) cases.push({ family, ...all, gated: await shown(0.9) })
    else without++
  }
  console.log(
    `## Survival of the first guess: ${proposer} (${cases.length} prompts; ${without} too short for it or without text)\n`,
  )
  const families = [...new Set(cases.map((c) => c.family)), 'all']
  const mean = (list: readonly number[]) =>
    list.length === 0 ? Number.NaN : list.reduce((sum, value) => sum + value, 0) / list.length
  const text = (value: number) => (Number.isNaN(value) ? '' : value.toFixed(2))
  const gain = (c: { r: number; survived: boolean } | undefined) => (c?.survived ? 1 - c.r : 0)
  table(
    ['family', 'prompts', 'r', 'p', 'p(1-r)', 'shown at 0.9', 'r there', 'precision', 'stable TTFT reduction'],
    families.map((name) => {
      const part = name === 'all' ? cases : cases.filter((c) => c.family === name)
      const gated = part.flatMap((c) => (c.gated ? [c.gated] : []))
      return [
        name,
        part.length,
        text(median(part.map((c) => c.r))),
        text(mean(part.map((c) => Number(c.survived)))),
        text(mean(part.map(gain))),
        text(gated.length / part.length),
        text(gated.length === 0 ? Number.NaN : median(gated.map((c) => c.r))),
        text(mean(gated.map((c) => Number(c.survived)))),
        text(mean(part.map((c) => gain(c.gated)))),
      ]
    }),
  )
}

/** Spec-Bench's MT-Bench categories are one family here: chat. */
function family(category: string): string {
  const own = new Set(['translation', 'summarization', 'qa', 'math_reasoning', 'rag'])
  return own.has(category) ? category : 'chat'
}

// `--only speed`, `--only skim` or `--only exit` runs one part.
if (values.only === undefined || values.only === 'speed') await speed()
for (const proposer of ['skim', 'exit'] as const) {
  if (values.only === undefined || values.only === proposer) await survival(proposer)
}
