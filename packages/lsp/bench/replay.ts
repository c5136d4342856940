import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { quantile, random, shuffle } from '../../engine/bench/numbers.ts'
import { table } from '../../engine/bench/table.ts'
import type { Stats } from '../src/protocol/messages.ts'
import { type Contender, ended, languageServer, llamaServer, plainInfill } from './contenders.ts'
import { type EditSession, editSession } from './edit-session.ts'
import { printStages, type Timed } from './stages.ts'

// Replays edit sessions keystroke by keystroke, in real time, against our language server, against the same server on top of
// llama-server, and against llama-server asked as a simple plugin asks it. Every contender sees the same sessions, in turns.
//
//   node packages/lsp/bench/replay.ts --model models/prelude/prelude-small.Q8_0.gguf --llama-server PATH --sessions 20
//
// `--stages` says what our server's times are made of; asking for that takes time in the pauses, so not for figures.

const root = join(import.meta.dirname, '../../..')
const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'models/prelude/prelude-small.Q8_0.gguf') },
    'llama-server': { type: 'string', default: '' },
    sessions: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
    /** 0: as many as each takes by itself. */
    threads: { type: 'string', default: '0' },
    context: { type: 'string', default: '512' },
    tokens: { type: 'string', default: '32' },
    acceptance: { type: 'string', default: '0.25' },
    /** Steps of a session at most. */
    steps: { type: 'string', default: '1000' },
    /** Which contenders, of `incipit`, `on-llama-server`, `llama-server`. */
    contender: { type: 'string', multiple: true, default: ['incipit', 'on-llama-server', 'llama-server'] },
    spm: { type: 'boolean', default: true },
    stages: { type: 'boolean', default: false },
  },
})
const [count, seed, threads, context, maxTokens] = [
  options.sessions,
  options.seed,
  options.threads,
  options.context,
  options.tokens,
].map(Number) as [number, number, number, number, number]

// A writer looks up, sees that it is right, and presses the key.
const noticeMs = 250
const noticed = 0.8
const leastAccepted = 4

interface Measured {
  keystrokes: number
  /** Milliseconds from the keystroke to the ghost text, of those that were shown before the next keystroke. */
  shownMs: number[]
  /** The same where the ghost text was typed through. */
  throughMs: number[]
  right: number
  shown: number
  accepted: number
  acceptedCharacters: number
  typedCharacters: number
  /** Of ghost text that was shown, with `--stages`. */
  stages: Timed[]
}

async function replay(contender: Contender, session: EditSession, seed: number, into: Measured): Promise<void> {
  const next = random(seed)
  const { before, target, after } = session
  await contender.open(session.path, before + after)
  let written = 0
  const put = async (text: string) => {
    const at = before.length + written
    await contender.edit(at, at, text)
    written += text.length
  }
  let last = ''
  const steps = session.steps.slice(0, Number(options.steps))
  for (let i = 0, typedTo = 0; i < steps.length; i++) {
    const step = steps[i]!
    if (step.kind === 'jump') {
      void contender.ghost(step.to).catch(() => undefined)
      await sleep(step.pauseMs)
      continue
    }
    if (step.kind === 'delete') {
      typedTo -= step.count
      if (written > typedTo && typedTo >= 0) {
        const at = before.length + written
        await contender.edit(at - step.count, at, '')
        written -= step.count
      }
      await sleep(step.pauseMs)
      continue
    }
    typedTo += step.text.length
    // What was accepted is there already.
    if (typedTo <= written) continue
    const rest = target.slice(written, typedTo)
    const began = performance.now()
    await put(rest)
    into.keystrokes++
    into.typedCharacters += rest.length
    const pause = sleep(step.pauseMs)
    const ghost = await Promise.race([contender.ghost(before.length + written), pause.then(() => undefined)])
    if (ghost) {
      const ms = performance.now() - began
      into.shown++
      into.shownMs.push(ms)
      const entry = options.stages ? await contender.last?.() : undefined
      if (entry) into.stages.push({ ms, entry })
      if (last.startsWith(rest) && last.slice(rest.length).startsWith(ghost.slice(0, 3))) into.throughMs.push(ms)
      const first = ghost.split('\n').find((line) => line.trim() !== '') ?? ''
      const upTo = ghost.slice(0, ghost.indexOf(first) + first.length)
      if (target.slice(written).startsWith(upTo)) {
        into.right++
        if (upTo.trim().length >= leastAccepted && next() < noticed) {
          await sleep(noticeMs)
          await put(upTo)
          into.accepted++
          into.acceptedCharacters += upTo.length
        }
      }
    }
    last = ghost ?? ''
    await pause
  }
}

function sessions(): EditSession[] {
  const listed = execFileSync('git', ['ls-files', 'packages/*/src/*.ts'], { cwd: root, encoding: 'utf8' })
  const files = listed.trim().split('\n')
  shuffle(files, random(seed))
  return files
    .map((path, i) => editSession(join(root, path), readFileSync(join(root, path), 'utf8'), seed + i))
    .filter((session) => session !== undefined)
    .slice(0, count)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

const empty = (): Measured => ({
  keystrokes: 0,
  shownMs: [],
  throughMs: [],
  right: 0,
  shown: 0,
  accepted: 0,
  acceptedCharacters: 0,
  typedCharacters: 0,
  stages: [],
})

const shared = {
  minAcceptance: Number(options.acceptance),
  maxTokens,
  contextTokens: context,
  threads,
  share: false,
  relatedFiles: false,
}
const binary = options['llama-server']
const server = binary
  ? await llamaServer(binary, options.model, { spm: options.spm, context, threads, port: await freePort() })
  : undefined
const wanted = new Set(options.contender)
const contenders: Contender[] = []
if (wanted.has('incipit')) contenders.push(await languageServer('incipit', { ...shared, model: options.model }))
if (server && wanted.has('on-llama-server')) {
  contenders.push(await languageServer('incipit lsp on llama-server', { ...shared, server: server.url }))
}
if (server && wanted.has('llama-server')) {
  const { url, fillsIn } = server
  const characters = { before: (context - maxTokens) * 2, after: (context - maxTokens) * 0.5 }
  contenders.push(plainInfill('llama-server, a request per keystroke', url, { maxTokens, fillsIn, characters }))
}

const measured = contenders.map(empty)
for (const [round, session] of sessions().entries()) {
  for (let turn = 0; turn < contenders.length; turn++) {
    const i = (round + turn) % contenders.length
    await replay(contenders[i]!, session, seed + round, measured[i]!)
  }
  console.error(`session ${round + 1}: ${session.path.slice(root.length + 1)}`)
}

const percent = (part: number, whole: number) => `${((100 * part) / Math.max(1, whole)).toFixed(1)}%`
const ms = (numbers: readonly number[], q: number) => (numbers.length === 0 ? '' : quantile(numbers, q).toFixed(1))
const rows = await Promise.all(
  contenders.map(async ({ name, stats }, i) => {
    const { keystrokes, shownMs, throughMs, right, shown, accepted, acceptedCharacters, typedCharacters } = measured[i]!
    const { saidTokens, promptTokens, cachedTokens }: Stats = await stats()
    return [
      name,
      keystrokes,
      ms(shownMs, 0.5),
      ms(shownMs, 0.95),
      ms(throughMs, 0.5),
      percent(shown, keystrokes),
      percent(throughMs.length, shown),
      percent(right, shown),
      accepted,
      percent(acceptedCharacters, acceptedCharacters + typedCharacters),
      ((promptTokens - cachedTokens) / keystrokes).toFixed(1),
      (saidTokens / keystrokes).toFixed(1),
    ]
  }),
)
table(
  [
    'contender',
    'keystrokes',
    'ghost text p50 ms',
    'p95',
    'typed through p50 ms',
    'keystrokes with ghost text',
    'of these typed through',
    'of these right',
    'accepted',
    'characters accepted',
    'prompt rows computed per keystroke',
    'tokens said per keystroke',
  ],
  rows,
)
if (options.stages) for (const [i, { name }] of contenders.entries()) printStages(name, measured[i]!.stages)
for (const contender of contenders) await contender.close()
if (server) await ended(server.process)
