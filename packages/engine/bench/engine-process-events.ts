import { setImmediate } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Outgoing } from '../src/process/host/outgoing.ts'
import { LineSplitter } from '../src/process/lines.ts'
import { decodeFromChild } from '../src/process/protocol.ts'
import { SupervisedRequest } from '../src/process/supervised-request.ts'
import { table } from './table.ts'

// What an event costs that crosses from an engine's process into its parent: microseconds on each side, without the turn of
// the event loop that a line from a pipe takes. Prints a Markdown table. packages/server/bench/engine-process.ts measures whole replies.
//
//   node packages/engine/bench/engine-process-events.ts [--events N]

const { values } = parseArgs({ options: { events: { type: 'string', default: '1000000' } } })

/** Microseconds per event on both sides, when a line holds the events of a step with so many streams. */
async function costOfEvents(events: number, streams: number): Promise<[child: number, parent: number]> {
  const lines: Buffer[] = []
  const out = new Outgoing((line) => lines.push(Buffer.from(line)))
  let began = performance.now()
  for (let i = 0; i < events; i += streams) {
    for (let id = 1; id <= streams; id++) {
      out.say({ type: 'event', id, event: { type: 'delta', text: ' word', tokens: 1 }, tokens: [1000 + (i % 40_000)] })
    }
    out.flush()
  }
  const child = performance.now() - began

  const host = { ready: true, send() {}, forget() {} }
  const requests = Array.from({ length: streams }, (_, i) => {
    return new SupervisedRequest({ id: i + 1, request: { prompt: 'x' }, signal: undefined }, host)
  })
  const readers = requests.map(async (request) => {
    let tokens = 0
    for await (const event of request) if (event.type === 'delta') tokens += event.tokens
    return tokens
  })
  const splitter = new LineSplitter()
  began = performance.now()
  for (const chunk of lines) {
    for (const line of splitter.push(chunk)) {
      for (const message of decodeFromChild(line)) {
        if (message.type === 'event') requests[message.id - 1]!.take(message.event, message.tokens)
      }
    }
    // As between two chunks of a pipe: readers read.
    await setImmediate()
  }
  for (const request of requests) request.fail(new Error('over'))
  await Promise.allSettled(readers)
  const parent = performance.now() - began
  began = performance.now()
  for (let turns = lines.length; turns > 0; turns--) await setImmediate()
  const turns = performance.now() - began
  return [(1000 * child) / events, (1000 * (parent - turns)) / events]
}

await costOfEvents(100_000, 8)
const costs: (string | number)[][] = []
for (const streams of [1, 8, 64]) {
  const [child, parent] = await costOfEvents(Number(values.events), streams)
  costs.push([streams, child.toFixed(2), parent.toFixed(2)])
}
console.log(`Microseconds per event, ${values.events} events:\n`)
table(['events in a line', 'child', 'parent'], costs)
