import { readFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type ChatMessage, Engine, type EngineOptions, type GenerateRequest, type Timings } from '../src/index.ts'
import { type ChatReply, chatReply } from './chat-reply.ts'
import { median } from './numbers.ts'
import { ServerProcess } from './server-process.ts'
import { memoryShapes } from './shapes/memories.ts'
import { type ShapeName, writeShape } from './shapes/write.ts'
import { defaultModel, defaultPrompts, requireFiles, threads } from './surroundings.ts'
import { table } from './table.ts'
import { committed, type Outcome, outcomeOf, typed } from './typed-message.ts'

// What reuse, streaming input, looks and drafts cost and gain on hybrid, recurrent and sliding-window memories: models in the
// shapes of real ones with random weights, against llama-server in the same run. Prints Markdown tables.
//
//   node packages/engine/bench/memories.ts --llama-server PATH [--folder DIR] [--models NAME,NAME] [--only turns]

const shapeNames = Object.keys(memoryShapes) as ShapeName[]
const parts = ['turns', 'typed', 'looks', 'drafts'] as const
const { values } = parseArgs({
  options: {
    'llama-server': { type: 'string' },
    // Where the models are written, some 6 GB for all, and stay.
    folder: { type: 'string', default: join(tmpdir(), 'incipit-shapes') },
    // A real model, whose tokenizer they get.
    vocabulary: { type: 'string' },
    models: { type: 'string', default: shapeNames.join() },
    only: { type: 'string', default: parts.join() },
    runs: { type: 'string', default: '3' },
    // Of a conversation: turns, tokens of all of it, and of a reply.
    turns: { type: 'string', default: '10' },
    tokens: { type: 'string', default: '4000' },
    reply: { type: 'string', default: '48' },
    // Of a message that is typed, and of a prompt with a look.
    typed: { type: 'string', default: '500' },
    look: { type: 'string', default: '1500' },
  },
})
const vocabularyOf = values.vocabulary ?? defaultModel
const prompts = join(defaultPrompts, 'chat.jsonl')
const llamaServer = values['llama-server']
const only = new Set(values.only.split(','))
const wanted = values.models.split(',') as ShapeName[]
requireFiles({ '--vocabulary': vocabularyOf, prompts, ...(only.has('turns') && { '--llama-server': llamaServer }) })
for (const name of wanted) {
  if (shapeNames.includes(name)) continue
  console.error(`no shape ${name}; there are ${shapeNames.join(', ')}`)
  process.exit(2)
}
const runs = Number(values.runs)
const replyTokens = Number(values.reply)
const conversationTokens = Number(values.tokens)
const contextLength = 512 * Math.ceil((Math.max(conversationTokens, Number(values.look)) * 1.5) / 512)
const cacheDir = join(values.folder, 'cache')
const corpus = readFileSync(prompts, 'utf8')
  .trim()
  .split('\n')
  .map((line) => (JSON.parse(line) as { turns: string[] }).turns[0]!)
  .join(' ')
  .replaceAll(/\s+/g, ' ')

const charactersPerToken = 4.4
/** About so many tokens of text, another one for each number. */
function textOf(tokens: number, number: number): string {
  const characters = Math.round(tokens * charactersPerToken)
  const start = corpus.indexOf(' ', (number * 7919) % (corpus.length - 2 * characters)) + 1
  return corpus.slice(start, start + characters)
}

const user = (content: string): ChatMessage => ({ role: 'user', content })
const ms = (number: number) => number.toFixed(0)
const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1)

// --- turns ----------------------------------------------------------------------------------------------------------

/** The replies of a conversation, on both servers, turn by turn. */
async function conversation(servers: readonly ServerProcess[], run: number): Promise<Map<ServerProcess, ChatReply[]>> {
  const turns = Number(values.turns)
  const perTurn = Math.max(8, conversationTokens / turns - replyTokens)
  const histories = new Map(servers.map((server) => [server, [] as ChatMessage[]]))
  const replies = new Map(servers.map((server) => [server, [] as ChatReply[]]))
  for (let turn = 0; turn < turns; turn++) {
    const question = user(`${run}: ${textOf(perTurn, run * turns + turn)}`)
    for (const server of (turn + run) % 2 === 0 ? servers : servers.toReversed()) {
      const history = histories.get(server)!
      history.push(question)
      const reply = await chatReply(server, history, replyTokens)
      history.push({ role: 'assistant', content: reply.text })
      replies.get(server)!.push(reply)
    }
  }
  return replies
}

async function turnsOf(path: string): Promise<(string | number)[]> {
  const options = { threads, contextLength }
  await using incipit = await ServerProcess.incipit(path, options)
  await using peer = await ServerProcess.llamaServer(llamaServer!, path, options)
  const first: Pair[] = []
  const later: Pair[] = []
  for (let run = 0; run < runs; run++) {
    const replies = await conversation([incipit, peer], run)
    const pairs = replies.get(incipit)!.map((own, turn) => ({ own, other: replies.get(peer)![turn]! }))
    const line = pairs.map(({ own, other }) => `${ms(own.ttft)} (${own.read}) / ${ms(other.ttft)} (${other.read})`)
    console.error(`turns, run ${run}, ms (tokens read): ${line.join(', ')}`)
    first.push(pairs[0]!)
    later.push(...pairs.slice(1))
  }
  const ratio = ({ own, other }: Pair) => own.ttft / other.ttft
  const columns = [first, later].flatMap((pairs) => [
    ms(median(pairs.map(({ own }) => own.ttft))),
    ms(median(pairs.map(({ other }) => other.ttft))),
    median(pairs.map(ratio)).toFixed(2),
  ])
  const read = [median(later.map(({ own }) => own.read)), median(later.map(({ other }) => other.read))]
  return [...columns, Math.max(...later.map(ratio)).toFixed(2), ...read]
}

/** The same turn on both. */
interface Pair {
  readonly own: ChatReply
  readonly other: ChatReply
}

// --- one engine -----------------------------------------------------------------------------------------------------

const load = (path: string, options: EngineOptions = {}) =>
  Engine.load(path, { cacheDir, cut: 'none', contextLength, threads, ...options })

async function typedOf(path: string): Promise<(string | number)[]> {
  await using engine = await load(path)
  const pairs: { once: number; typed: number }[] = []
  for (let run = 0; run < runs; run++) {
    const text = textOf(Number(values.typed), 100 + run)
    const request: GenerateRequest = { messages: [user(text)], maxTokens: 8, proposers: [], cachePrompt: false }
    pairs.push({ once: committed(await outcomeOf(engine.generate(request))), typed: await typed(engine, text) })
  }
  const { kind, snapshots, bytes } = engine.info.memory
  const prompt = engine.tokenize(textOf(conversationTokens, 200)).slice(0, conversationTokens)
  await engine.idle()
  const before = engine.stats()
  await outcomeOf(engine.generate({ prompt, maxTokens: replyTokens, proposers: [] }))
  await engine.idle()
  const after = engine.stats()
  const share = median(pairs.map(({ once, typed }) => typed / once))
  return [
    kind,
    ms(median(pairs.map(({ once }) => once))),
    ms(median(pairs.map(({ typed }) => typed))),
    `${(100 * share).toFixed(1)}%`,
    megabytes(after.checkpointBytes - before.checkpointBytes),
    megabytes(after.keptBytes - before.keptBytes),
    megabytes(bytes),
    snapshots,
  ]
}

async function looksOf(path: string): Promise<(string | number)[]> {
  await using engine = await load(path)
  const { available, note } = engine.info.proposers.skim
  if (!available) return [note ?? 'no', '', '', '']
  const pairs: { plain: number; looking: Timings }[] = []
  for (let run = 0; run < runs; run++) {
    const messages = [user(textOf(Number(values.look), 300 + run))]
    const request: GenerateRequest = { messages, maxTokens: 8, cachePrompt: false }
    const plain = committed(await outcomeOf(engine.generate({ ...request, proposers: [] })))
    const guesses = { policy: 'provisional', minStability: 0, proposers: ['skim'] } as const
    const looking = await outcomeOf(engine.generate({ ...request, ...guesses }))
    pairs.push({ plain, looking: looking.timings })
  }
  const share = (of: (timings: Timings) => number | null) =>
    median(pairs.map(({ plain, looking }) => (of(looking) ?? Number.NaN) / plain)).toFixed(2)
  const plain = ms(median(pairs.map((pair) => pair.plain)))
  return ['yes', plain, share((timings) => timings.provisionalMs), share((timings) => timings.committedMs)]
}

/** Milliseconds per token of a reply, alone and with guesses, which the model's own reply as a prediction makes right. */
async function draftsOf(path: string, snapshots: number | undefined): Promise<(string | number)[]> {
  await using engine = await load(path, snapshots === undefined ? {} : { snapshots })
  const rows: { plain: number; right: number; wrong: number; accepted: number; drafted: number }[] = []
  const tokens = 128
  const perToken = ({ timings }: Outcome) => timings.predictedMs / (timings.predictedN - 1)
  for (let run = 0; run < runs; run++) {
    const request = { messages: [user(textOf(200, 400 + run))], maxTokens: tokens }
    const plain = await outcomeOf(engine.generate({ ...request, proposers: [] }))
    const predicted = (prediction: string) =>
      outcomeOf(engine.generate({ ...request, prediction, proposers: ['prediction'] }))
    const right = await predicted(plain.text)
    // Every fourth word is another one.
    const words = plain.text.split(' ')
    const wrong = await predicted(words.map((word, i) => (i % 4 === 3 ? 'else' : word)).join(' '))
    const { acceptedN: accepted, draftedN: drafted } = right.timings
    rows.push({ plain: perToken(plain), right: perToken(right), wrong: perToken(wrong), accepted, drafted })
  }
  const of = (get: (row: (typeof rows)[number]) => number) => median(rows.map(get))
  const columns = [of((row) => row.plain), of((row) => row.right), of((row) => row.wrong)].map((n) => n.toFixed(1))
  return [engine.info.memory.snapshots, ...columns, `${of((row) => row.accepted)} of ${of((row) => row.drafted)}`]
}

// --- all of it ------------------------------------------------------------------------------------------------------

const results = { turns: [], typed: [], looks: [], drafts: [] } as Record<string, (string | number)[][]>
for (const name of wanted) {
  const path = await writeShape(name, values.folder, vocabularyOf)
  const measure = async (part: (typeof parts)[number], of: () => Promise<(string | number)[]>, as: string = name) => {
    if (!only.has(part)) return
    const row = [as, ...(await of())]
    console.error(`${part}: ${row.join(' | ')}`)
    results[part]!.push(row)
  }
  await measure('turns', () => turnsOf(path))
  await measure('typed', () => typedOf(path))
  await measure('looks', () => looksOf(path))
  await measure('drafts', () => draftsOf(path, undefined))
  if (name.startsWith('qwen3.5')) await measure('drafts', () => draftsOf(path, 0), `${name}, no snapshots`)
}
const where = `${cpus()[0]?.model}, ${threads} threads, medians of ${runs}`
const print = (part: (typeof parts)[number], title: string, header: readonly string[]) => {
  if (results[part]!.length === 0) return
  console.log(`## ${title} (${where})\n`)
  table(['shape', ...header], results[part]!)
}
const turns = `turns 2 to ${values.turns}`
print('turns', `A conversation of ${conversationTokens} tokens`, [
  'turn 1 ms',
  'llama-server ms',
  'ratio',
  `${turns} ms`,
  'llama-server ms',
  'ratio',
  'worst',
  'tokens read',
  'by llama-server',
])
print('typed', `${values.typed} tokens typed, Enter at once; checkpoints of a prompt of ${conversationTokens} tokens`, [
  'memory',
  'in one piece ms',
  'typed ms',
  'share',
  'checkpoints MiB',
  'kept with its rows MiB',
  'cache MiB',
  'snapshots',
])
print('looks', `A look into a prompt of ${values.look} tokens`, ['looks', 'plain ms', 'first word', 'committed'])
print('drafts', 'Drafts', ['snapshots', 'plain ms per token', 'right', 'one in four wrong', 'accepted'])
