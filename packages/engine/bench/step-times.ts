import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { Model } from '../src/llama/model.ts'
import { inTurns } from './compare.ts'
import type { Round, StepTimes } from './drive.ts'
import { msPerToken } from './figures.ts'
import { corpusText, mixedRequests } from './load.ts'
import { median } from './numbers.ts'
import type { Settings } from './settings.ts'
import { defaultModel, threads } from './surroundings.ts'
import { table } from './table.ts'

// Where the time of a step goes: inside llama_decode (with handing the step to its thread and back) and between two of them,
// of incipit without speculation and of the plainest loop over the same library, in turns. Prints a Markdown table.
//
//   node packages/engine/bench/step-times.ts [--model PATH] [--streams 1,8] [--rounds 3]

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    streams: { type: 'string', default: '1,8' },
    rounds: { type: 'string', default: '3' },
  },
})
const path = values.model ?? defaultModel
const rounds = Number(values.rounds)
const engines = ['incipit', 'plain llama.cpp'] as const

const model = await Model.load(path)
const corpus = model.vocab.tokenize(corpusText())
model[Symbol.dispose]()

const rows: (string | number)[][] = []
for (const streams of values.streams.split(',').map(Number)) {
  const settings: Omit<Settings, 'engine'> = { model: path, streams, contextLength: 2048, threads }
  const contenders = engines.map((engine) => ({ name: engine, settings: { ...settings, engine } }))
  const results = await inTurns(contenders, rounds, (round) =>
    mixedRequests(corpus, 2 * streams + 6, 100 * streams + round).map((request) => ({ ...request, proposers: [] })),
  )
  for (const [i, name] of engines.entries()) {
    const of = (figure: (round: Round, steps: StepTimes) => number, digits: number) =>
      median(results[i]!.map((round) => figure(round, round.steps!))).toFixed(digits)
    rows.push([
      streams,
      name,
      of((_, { steps }) => steps, 0),
      of((_, { decodeMs, steps }) => decodeMs / steps, 2),
      of((_, { outsideMs, steps }) => outsideMs / steps, 2),
      `${of((_, { decodeMs, outsideMs }) => (100 * outsideMs) / (decodeMs + outsideMs), 1)}%`,
      of(msPerToken.of, 2),
    ])
  }
}
console.log(`## Time of a step (${cpus()[0]?.model}, ${threads} threads, medians of ${rounds} rounds)\n`)
table(['streams', 'engine', 'steps', 'ms in llama_decode', 'ms outside', 'outside', 'ms per token of a reply'], rows)
