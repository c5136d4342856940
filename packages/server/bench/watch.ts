import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { median, quantile } from '../../engine/bench/numbers.ts'
import { ServerProcess } from '../../engine/bench/server-process.ts'
import { defaultModel, requireFiles } from '../../engine/bench/surroundings.ts'
import { table } from '../../engine/bench/table.ts'

// What it costs that somebody watches: replies of `incipit serve`, in turns while nobody watches, while somebody reads
// /v1/steps, and while they want likely tokens, too. Nobody twice, so that the ratios have a measure of their noise. Only
// worth something on a machine with nothing else to do. Prints a Markdown table.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '15' },
    streams: { type: 'string', default: '1,8' },
    threads: { type: 'string', default: '2' },
    tokens: { type: 'string', default: '128' },
  },
})
const model = values.model ?? defaultModel
requireFiles({ '--model': model })
const tokens = Number(values.tokens)
const ways = [
  { name: 'not watched' },
  { name: 'not watched, again' },
  { name: 'watched', path: '/v1/steps' },
  { name: 'watched, 3 likely tokens', path: '/v1/steps?others=3' },
] as const
/** After it has begun, and after it is over: until both ends know. */
const settleMs = 150

await using server = await ServerProcess.incipit(model, { threads: Number(values.threads), contextLength: 4096 })

/** Reads the stream of steps, and throws away what it says, until the signal. */
async function watch(path: string, signal: AbortSignal): Promise<void> {
  try {
    const { body } = await fetch(server.address + path, { signal })
    for await (const _ of body!);
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Tokens per second of so many replies at once. */
async function speed(streams: number): Promise<number> {
  const begin = performance.now()
  const counts = await Promise.all(
    Array.from({ length: streams }, async (_, i) => {
      const response = await fetch(`${server.address}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          messages: [{ role: 'user', content: `Tell me story number ${i}.` }],
          temperature: 0,
          max_tokens: tokens,
          ignore_eos: true,
          speculate: false,
        }),
      })
      if (!response.ok) throw new Error(await response.text())
      return ((await response.json()) as { usage: { completion_tokens: number } }).usage.completion_tokens
    }),
  )
  return (counts.reduce((sum, count) => sum + count, 0) * 1000) / (performance.now() - begin)
}

async function measured(streams: number, path: string | undefined): Promise<number> {
  const controller = new AbortController()
  const watching = path === undefined ? undefined : watch(path, controller.signal)
  await sleep(settleMs)
  const result = await speed(streams)
  controller.abort()
  await watching
  await sleep(settleMs)
  return result
}

for (const streams of values.streams.split(',').map(Number)) {
  const speeds = ways.map((): number[] => [])
  for (let round = 0; round <= Number(values.rounds); round++) {
    // Each way has each place in a round equally often.
    for (let turn = 0; turn < ways.length; turn++) {
      const way = (round + turn) % ways.length
      const { path } = { path: undefined, ...ways[way] }
      const result = await measured(streams, path)
      // The first round warms up.
      if (round > 0) speeds[way]!.push(result)
    }
  }
  console.log(`\n${streams} ${streams === 1 ? 'reply' : 'replies'} of ${tokens} tokens at once\n`)
  table(
    ['', 'tokens/s', 'of not watched, median', 'p10', 'p90'],
    ways.map(({ name }, way) => {
      const ratios = speeds[way]!.map((speed, round) => speed / speeds[0]![round]!)
      const [middle, low, high] = [median(ratios), quantile(ratios, 0.1), quantile(ratios, 0.9)]
      return [name, median(speeds[way]!).toFixed(1), middle.toFixed(3), low.toFixed(3), high.toFixed(3)]
    }),
  )
}
