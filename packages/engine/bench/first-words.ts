import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Engine, type GenerateEvent } from '../src/index.ts'
import { minPrompt } from '../src/proposers/skim.ts'
import { mean, random, shuffle } from './numbers.ts'
import { defaultModel, defaultPrompts, requireFiles, temporaryFolder, threads } from './surroundings.ts'
import { table } from './table.ts'

// First words that are shown before they are committed, as an engine shows them while it learns from its traffic: how many,
// how many stay, and how much sooner they come, misses counted. Prints Markdown tables; docs/benchmarks.md holds the last.
//
//   node packages/engine/bench/first-words.ts [--prompts FILE] [--orders 1] [--min-stability X]

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    // As `incipit tune --prompts` takes, with a `category` each.
    prompts: { type: 'string' },
    orders: { type: 'string', default: '1' },
    // A bound of the client's on each guess, instead of the promise on the average.
    'min-stability': { type: 'string' },
  },
})
const modelPath = values.model ?? defaultModel
const promptPath = values.prompts ?? join(defaultPrompts, 'chat.jsonl')
requireFiles({ '--model': modelPath, '--prompts': promptPath })
const orders = Number(values.orders)
const bound = values['min-stability']
const cacheDir = temporaryFolder()

interface Prompt {
  readonly category: string
  readonly content: string
}
/** What a reader saw of the beginning of a reply. */
interface Seen {
  readonly kind: string
  /** The stability that was told of the first word, where one was shown before it was committed. */
  readonly stability: number | undefined
  readonly stayed: boolean
  /** Share of the wait that is gone. */
  readonly reduction: number
}

await using engine = await Engine.load(modelPath, { cacheDir, cut: 'none', contextLength: 2048, parallel: 2, threads })
const all = readFileSync(promptPath, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { category: string; turns: string[] })
  .map(({ category, turns }): Prompt => ({ category, content: turns[0]! }))
  .filter(({ content }) => {
    const { length } = engine.tokenize(content)
    return length >= minPrompt && length < 1900
  })
const kinds = [...new Set(all.map(({ category }) => category))].filter(
  (kind) => all.filter(({ category }) => category === kind).length >= 20,
)

async function read(events: AsyncIterable<GenerateEvent>): Promise<Omit<Seen, 'kind'>> {
  let shown: { text: string; stability: number } | undefined
  let text = ''
  for await (const event of events) {
    // The stability of a longer text is that of all of it: the first word alone is told of first.
    if (event.type === 'provisional' && text === '' && event.text !== '') shown ??= event
    if (event.type === 'delta') text += event.text
    if (event.type !== 'done') continue
    const { stableMs, committedMs } = event.timings
    const stayed = shown !== undefined && stableMs! < committedMs!
    return { stability: shown?.stability, stayed, reduction: 1 - stableMs! / committedMs! }
  }
  throw new Error('the reply ended without `done`')
}

let namespaces = 0
/** An engine that has seen none of these yet: what it learns in one namespace it knows in no other. */
async function inOrder(prompts: readonly Prompt[]): Promise<Seen[]> {
  const cacheSalt = `order ${namespaces++}`
  const seen: Seen[] = []
  for (const { category, content } of prompts) {
    const request = {
      messages: [{ role: 'user' as const, content }],
      maxTokens: 4,
      policy: 'provisional' as const,
      proposers: ['opening', 'skim'] as const,
      cachePrompt: false,
      cacheSalt,
      ...(bound !== undefined && { minStability: Number(bound) }),
    }
    seen.push({ kind: category, ...(await read(engine.generate(request))) })
  }
  console.error(`${seen.length} prompts: ${row(seen).join(', ')}`)
  return seen
}

function row(seen: readonly Seen[]): string[] {
  const shown = seen.filter(({ stability }) => stability !== undefined)
  const stayed = shown.filter(({ stayed }) => stayed)
  const share = (part: number, whole: number) => (whole === 0 ? '' : (part / whole).toFixed(2))
  return [
    String(seen.length),
    share(shown.length, seen.length),
    share(stayed.length, shown.length),
    shown.length === 0 ? '' : mean(shown.map(({ stability }) => stability!)).toFixed(2),
    mean(seen.map(({ reduction }) => reduction)).toFixed(2),
  ]
}

const everything: Seen[] = []
const results = new Map<string, Seen[]>()
const add = (name: string, seen: readonly Seen[]) => {
  results.set(name, [...(results.get(name) ?? []), ...seen])
  everything.push(...seen)
}
const cold = 40
for (let order = 1; order <= orders; order++) {
  const next = random(order)
  const mixed = [...all]
  shuffle(mixed, next)
  const seen = await inOrder(mixed)
  add(`mixed, the first ${cold}`, seen.slice(0, cold))
  add('mixed, after them', seen.slice(cold))
  for (const kind of kinds) {
    const own = all.filter(({ category }) => category === kind)
    shuffle(own, next)
    const half = own.length >> 1
    for (const [learnt, asked] of [
      [own.slice(0, half), own.slice(half)],
      [own.slice(half), own.slice(0, half)],
    ] as const) {
      add(`${kind}, after ${half} of its own`, (await inOrder([...learnt, ...asked])).slice(learnt.length))
    }
  }
}
const promise = bound === undefined ? 'nine in ten of what is shown' : `each from ${bound} on`
console.log(`## First words shown (${promise}; ${cpus()[0]?.model}, ${threads} threads, ${orders} orders)\n`)
const header = ['prompts', 'shown', 'of these stayed', 'promised', 'stable TTFT reduction']
table(
  ['', ...header],
  [...results].map(([name, seen]) => [name, ...row(seen)]),
)
const levels = [0, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98]
console.log('What was promised, and what stayed:\n')
table(
  ['promised', 'first words', 'mean', 'stayed'],
  levels.flatMap((from, i) => {
    const to = levels[i + 1] ?? 1.01
    const those = everything.filter(({ stability = -1 }) => stability >= from && stability < to)
    if (those.length === 0) return []
    const promised = mean(those.map(({ stability }) => stability!)).toFixed(2)
    const stayed = (those.filter(({ stayed }) => stayed).length / those.length).toFixed(2)
    return [[`${from} to ${Math.min(1, to)}`, those.length, promised, stayed]]
  }),
)
