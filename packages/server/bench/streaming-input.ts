import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { EngineStats } from '@incipit/engine/api'
import { median, quantile, random } from '../../engine/bench/numbers.ts'
import { defaultModel, defaultPrompts, requireFiles } from '../../engine/bench/surroundings.ts'
import { type Keystroke, speech, typing } from './keystrokes.ts'

// Time to the first committed text after the last input event, with prefill while the input arrives, against the same
// text sent in one piece to the same server in the same run. Prints a Markdown table; docs/benchmarks.md holds the last.

const { values } = parseArgs({
  options: { model: { type: 'string' }, runs: { type: 'string', default: '3' }, only: { type: 'string' } },
})
const model = values.model ?? defaultModel
const prompts = join(defaultPrompts, 'chat.jsonl')
requireFiles({ '--model': model, prompts })
const runs = Number(values.runs)
const corpus = readFileSync(prompts, 'utf8')
  .trim()
  .split('\n')
  .map((line) => (JSON.parse(line) as { turns: string[] }).turns[0]!)
  .join(' ')
  .replaceAll(/\s+/g, ' ')

const child = fork(join(import.meta.dirname, 'host.ts'), [model], { stdio: 'inherit' })
const answer = <T>(): Promise<T> => new Promise((resolve) => child.once('message', (message) => resolve(message as T)))
const { address } = await answer<{ address: string }>()
const stats = async (): Promise<EngineStats> => {
  const reply = answer<{ stats: EngineStats }>()
  child.send('stats')
  return (await reply).stats
}

// About four characters a token in this text.
const textOf = (tokens: number, run: number) => {
  const start = corpus.indexOf(' ', (run * 9000 + tokens * 7) % (corpus.length - tokens * 5)) + 1
  return corpus.slice(start, start + tokens * 4.4)
}

interface ServerEvent {
  type: string
  error?: { message: string }
}

/** Sends keystrokes and Enter over a socket; milliseconds from the last input event to the first committed text. */
async function typed(
  strokes: readonly Keystroke[],
  speculate: 'off' | 'prefill' | 'reply',
  pauseMs = 0,
): Promise<number> {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/v1/realtime`)
  const events: ((event: ServerEvent) => void)[] = []
  const until = (type: string) =>
    new Promise<void>((resolve, reject) => {
      events.push((event) => {
        if (event.type === type) resolve()
        if (event.type === 'error') reject(new Error(event.error?.message))
      })
    })
  const created = until('session.created')
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(String(data)) as ServerEvent
    for (const listener of events) listener(event)
  }
  await created
  const send = (event: object) => socket.send(JSON.stringify(event))
  send({ type: 'session.update', session: { speculate, temperature: 0, max_output_tokens: 24 } })
  // Gaps are kept on the whole: a late timer makes the next one shorter.
  let due = performance.now()
  for (const { ms, base, text } of strokes) {
    due += ms
    const wait = due - performance.now()
    if (wait > 1) await sleep(wait)
    send({ type: 'input_text.replace', base, text })
  }
  if (pauseMs > 0) await sleep(pauseMs)
  const first = until('response.output_text.delta')
  const done = until('response.done')
  const start = performance.now()
  send({ type: 'input_text.commit' })
  send({ type: 'response.create' })
  await first
  const ms = performance.now() - start
  await done
  socket.close()
  return ms
}

/** A chat request whose body arrives at `bytesPerSecond`; milliseconds from its last byte to the first committed text. */
async function uploaded(content: string, bytesPerSecond: number): Promise<number> {
  const body = Buffer.from(
    JSON.stringify({ messages: [{ role: 'user', content }], stream: true, temperature: 0, max_tokens: 24 }),
  )
  const { hostname, port } = new URL(address)
  let last = 0
  const first = new Promise<number>((resolve, reject) => {
    const request = httpRequest(
      {
        hostname,
        port,
        path: '/v1/chat/completions',
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': body.length },
      },
      (response) => {
        let text = ''
        let at = 0
        response.on('data', (chunk) => {
          text += chunk
          if (at === 0 && /"content":"[^"]/.test(text)) at = performance.now()
        })
        response.on('end', () => resolve(at))
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    void (async () => {
      const piece = Math.max(1, Math.round(bytesPerSecond / 20))
      for (let from = 0; from < body.length; from += piece) {
        const part = body.subarray(from, from + piece)
        if (bytesPerSecond !== Number.POSITIVE_INFINITY) await sleep(50)
        last = performance.now()
        request.write(part)
        if (bytesPerSecond === Number.POSITIVE_INFINITY) {
          request.end(body.subarray(from + piece))
          return
        }
      }
      request.end()
    })()
  })
  return (await first) - last
}

interface Row {
  name: string
  expected: string
  once: number[]
  streamed: number[]
  wasted: number
}

/** Rows that were run and not kept, as a share of all rows, while `work` ran. */
async function wastedIn(work: () => Promise<void>): Promise<number> {
  const before = await stats()
  await work()
  const after = await stats()
  const rows = after.rows - before.rows
  const kept = after.promptTokens - before.promptTokens + (after.generatedTokens - before.generatedTokens)
  return Math.max(0, rows - kept) / Math.max(1, rows)
}

/** What was typed long ago is there long since: only the last part is typed in real time. */
function typedEnd(text: string, rate: number, seed: number, characters: number): Keystroke[] {
  const head = text.slice(0, -characters)
  const strokes = typing(text.slice(-characters), rate, seed).map((stroke) => ({
    ...stroke,
    base: stroke.base + head.length,
  }))
  return [{ ms: 0, base: 0, text: head }, { ms: 2500, base: head.length, text: '' }, ...strokes]
}

function chunked(text: string, chunks: number, ms: number): Keystroke[] {
  const size = Math.ceil(text.length / chunks)
  return Array.from({ length: chunks }, (_, i) => ({
    ms: i === 0 ? 0 : ms / (chunks - 1),
    base: i * size,
    text: text.slice(i * size, (i + 1) * size),
  }))
}

const cases: {
  name: string
  expected: string
  once: (run: number) => Promise<number>
  streamed: (run: number) => Promise<number>
}[] = []
const whole = (text: string) => typed([{ ms: 0, base: 0, text }], 'off')
for (const rate of [8, 30]) {
  cases.push({
    name: `500 tokens typed at ${rate}/s, Enter at once`,
    expected: '<= 10%',
    once: (run) => whole(textOf(500, run + rate)),
    streamed: (run) => typed(typedEnd(textOf(500, run + rate), rate, run + 1, 12 * rate), 'prefill'),
  })
}
cases.push(
  {
    name: 'the same at 8/s, 500 ms pause, speculate reply',
    expected: '< 5 ms',
    once: (run) => whole(textOf(500, run + 70)),
    streamed: (run) => typed(typedEnd(textOf(500, run + 70), 8, run + 1, 60), 'reply', 500),
  },
  {
    name: '1,500-token document in 20 chunks over 3 s',
    expected: '<= 15%',
    once: (run) => whole(textOf(1500, run)),
    streamed: (run) => typed(chunked(textOf(1500, run), 20, 3000), 'prefill'),
  },
  {
    name: 'the same over 12 s',
    expected: '<= 15%',
    once: (run) => whole(textOf(1500, run + 20)),
    streamed: (run) => typed(chunked(textOf(1500, run + 20), 20, 12_000), 'prefill'),
  },
  {
    name: 'speech, last words revised every 300 ms (300 tokens)',
    expected: '<= 20%',
    once: (run) => whole(textOf(300, run + 40)),
    streamed: (run) => typed(speech(textOf(300, run + 40), 300, run + 1), 'prefill'),
  },
  {
    name: '10 kB chat request uploaded in 12 s by a stock client',
    expected: '<= 20%',
    once: (run) => uploaded(textOf(2300, run + 60), Number.POSITIVE_INFINITY),
    streamed: (run) => uploaded(textOf(2300, run + 60), 850),
  },
)

const rows: Row[] = []
for (const { name, expected, once, streamed } of cases) {
  if (values.only !== undefined && !name.includes(values.only)) continue
  const row: Row = { name, expected, once: [], streamed: [], wasted: 0 }
  for (let run = 0; run < runs; run++) {
    row.once.push(await once(run))
    row.wasted += (await wastedIn(async () => void row.streamed.push(await streamed(run)))) / runs
  }
  rows.push(row)
  console.error(`${name}: ${median(row.streamed).toFixed(1)} ms against ${median(row.once).toFixed(0)} ms`)
}
console.log(`## Streaming input (${cpus()[0]?.model}, ${cpus().length} cores, medians of ${runs})\n`)
console.log('| case | in one piece ms | streamed ms | share | expected | rows wasted |\n|---|--:|--:|--:|--:|--:|')
for (const { name, expected, once, streamed, wasted } of rows) {
  const share = median(streamed.map((ms, i) => ms / once[i]!))
  console.log(
    `| ${name} | ${median(once).toFixed(0)} | ${median(streamed).toFixed(1)} | ${(100 * share).toFixed(1)}% | ${expected} | ${(100 * wasted).toFixed(0)}% |`,
  )
}

/** Gaps between the committed deltas of four streams that run together. */
async function gapsOfFourStreams(beside: () => Promise<unknown>): Promise<number[]> {
  const gaps: number[] = []
  let busy = true
  const stream = async (seed: number) => {
    const next = random(seed)
    while (busy) {
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          messages: [
            { role: 'user', content: `Write a long story about a ${next() < 0.5 ? 'dog' : 'cat'} (${seed}).` },
          ],
          max_tokens: 120,
          stream: true,
          temperature: 0.8,
          seed,
          speculate: false,
        }),
      })
      let last = 0
      for await (const chunk of response.body!) {
        if (!Buffer.from(chunk).includes('"content":"')) continue
        const now = performance.now()
        if (last > 0) gaps.push(now - last)
        last = now
      }
    }
  }
  const streams = [1, 2, 3, 4].map(stream)
  await beside()
  busy = false
  await Promise.all(streams)
  return gaps
}
if (values.only === undefined || values.only === 'streams') {
  const alone = await gapsOfFourStreams(() => sleep(15_000))
  const beside = await gapsOfFourStreams(async () => {
    await typed(typedEnd(textOf(500, 91), 8, 1, 40), 'prefill')
    await typed(typedEnd(textOf(500, 92), 8, 1, 40), 'reply', 500)
  })
  const [a, b] = [quantile(alone, 0.95), quantile(beside, 0.95)]
  console.log(
    `\nITL p95 of four other streams: ${a.toFixed(1)} ms alone, ${b.toFixed(1)} ms beside typed inputs (${(100 * (b / a - 1)).toFixed(0)}%, expected under 15%)`,
  )
}
child.disconnect()
