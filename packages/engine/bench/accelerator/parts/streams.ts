import { Model } from '../../../src/llama/model.ts'
import { type Contender, inTurns } from '../../compare.ts'
import type { Round } from '../../drive.ts'
import { loadFigures, msPerToken, requestsPerSecond } from '../../figures.ts'
import { arriving, type LoadRequest, mixedRequests } from '../../load.ts'
import { median } from '../../numbers.ts'
import type { Settings } from '../../settings.ts'
import { row } from '../results.ts'
import { cacheDirOf, corpusOf, ms, type Task } from './part.ts'

const figures = [...loadFigures, msPerToken]
// Arrivals per second, as a share of what plain llama.cpp answers in the closed loop.
const openLoad = 0.6
const longestPrompt = 1200

/** So many clients, each of which sends its next request when its reply is done. */
export async function streams(task: Task): Promise<void> {
  const corpus = await corpusFor(task)
  await compare(task, 'Closed loop', [incipit(task), plain(task)], (round) => requestsOf(task, corpus, round))
}

/** Requests that come when they come. */
export async function poisson(task: Task): Promise<void> {
  const corpus = await corpusFor(task)
  const closed = await inTurns([plain(task)], 1, (round) => requestsOf(task, corpus, round))
  const rate = openLoad * requestsPerSecond(closed[0]![0]!)
  const title = `Poisson arrivals, ${openLoad} of what plain llama.cpp answers in the closed loop`
  await compare(task, title, [incipit(task), plain(task)], (round) => {
    if (round === 0) return requestsOf(task, corpus, round)
    return arriving(requestsOf(task, corpus, 50 + round), rate, round)
  })
}

/** What other choices of the engine would give. */
export async function variants(task: Task): Promise<void> {
  const corpus = await corpusFor(task)
  const contenders = [
    incipit(task),
    incipit(task, { cache: 'unified' }, 'incipit, one cache for all'),
    incipit(task, { threads: 1 }, 'incipit, one thread'),
    incipit(task, { cachePrompt: false }, 'incipit, nothing is kept'),
  ]
  await compare(task, 'Other choices, closed loop', contenders, (round) => requestsOf(task, corpus, round))
}

async function corpusFor({ model: path }: Task): Promise<number[]> {
  using model = await Model.load(path, { withoutWeights: true })
  return corpusOf(model, longestPrompt)
}

function settings(task: Task): Omit<Settings, 'engine'> {
  const { model, part, scale, threads } = task
  return { model, streams: part.streams ?? 1, contextLength: scale.contextLength, threads }
}

function incipit(task: Task, more: Partial<Settings> = {}, name = 'incipit'): Contender {
  return { name, settings: { ...settings(task), engine: 'incipit', cacheDir: cacheDirOf(task), ...more } }
}

function plain(task: Task): Contender {
  return { name: 'plain llama.cpp', settings: { ...settings(task), engine: 'plain llama.cpp' } }
}

function requestsOf({ part, scale }: Task, corpus: readonly number[], round: number): LoadRequest[] {
  const { streams = 1 } = part
  const count = round === 0 ? streams : Math.max(scale.requestsPerStream * 6, scale.requestsPerStream * streams)
  return mixedRequests(corpus, count, 100 * streams + round)
}

/** The contenders under the same loads, in turns, and the first one beside each other. */
async function compare(
  { part, scale }: Task,
  title: string,
  contenders: readonly Contender[],
  loadOf: (round: number) => readonly LoadRequest[],
): Promise<void> {
  const results = await inTurns(contenders, scale.rounds, loadOf)
  const own = results[0]!
  const about = (engine: string) => ({ shape: part.shape, streams: part.streams ?? 1, engine })
  for (const [i, { name }] of contenders.entries()) {
    const rounds = results[i]!
    const columns = figures.map(({ title, of, digits }) => [title, median(rounds.map(of)).toFixed(digits)])
    row(title, { ...about(name), ...Object.fromEntries(columns) })
    outside(rounds, about(name))
  }
  for (const [i, { name }] of contenders.entries()) {
    if (i === 0) continue
    const ratio = (of: (round: Round) => number) => median(own.map((round, k) => of(round) / of(results[i]![k]!)))
    const columns = figures.map(({ title, of }) => [title, ratio(of).toFixed(2)])
    row(title, { ...about(`ratio to ${name}`), ...Object.fromEntries(columns) })
  }
}

function outside(rounds: readonly Round[], about: { shape: string; streams: number; engine: string }): void {
  const steps = rounds.flatMap((round) => round.steps ?? [])
  const sum = (of: 'steps' | 'decodeMs' | 'outsideMs') => steps.reduce((total, one) => total + one[of], 0)
  const [inside, between] = [sum('decodeMs') / sum('steps'), sum('outsideMs') / sum('steps')]
  row('Outside of llama_decode', { ...about, 'ms inside, a step': ms(inside), 'ms outside': ms(between) })
}
