import { choose } from '../src/core/sampling/sample.ts'
import type { Engine, GenerateRequest, ProposerName, Timings } from '../src/index.ts'
import type { Plain } from '../src/tune/plain.ts'
import { median } from './numbers.ts'

/** One way to have prompts answered. */
export interface Way {
  readonly name: string
  readonly engine: Engine
  readonly proposers: readonly ProposerName[]
}

/** What became of the same prompts. Times in milliseconds. */
export interface FirstWordTimes {
  readonly name: string
  readonly plain: readonly number[]
  readonly timings: readonly Timings[]
}

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }

/** Answers a request, and says what was shown first. */
export async function timingsOf(
  engine: Engine,
  request: GenerateRequest,
): Promise<{ timings: Timings; first: string; text: string }> {
  let first = ''
  let text = ''
  for await (const event of engine.generate(request)) {
    if (event.type === 'delta') text += event.text
    if (event.type === 'provisional' && first === '') first = event.text
    if (event.type === 'done') return { timings: event.timings, first, text }
  }
  throw new Error('the reply ended without `done`')
}

/**
 * The same prompts through a plain context and in every way, in turns: all see the same state of the machine. A first round
 * warms caches and is not counted. Every prompt of a way has a namespace of its own: nobody finds rows of others, nor learns
 * what their guesses were worth.
 */
export async function firstWords(
  plain: Plain,
  ways: readonly Way[],
  corpus: readonly number[],
  { length, runs }: { length: number; runs: number },
): Promise<FirstWordTimes[]> {
  const plainMs: number[] = []
  const all = ways.map(({ name }) => ({ name, plain: plainMs, timings: [] as Timings[] }))
  for (let run = 0; run <= runs; run++) {
    const start = (run * 1700 + length) % (corpus.length - length)
    const prompt = corpus.slice(start, start + length)
    plain.reset()
    const begin = performance.now()
    await plain.run(prompt)
    choose(plain.logits(), greedy, prompt.length)
    const ms = performance.now() - begin
    if (run > 0) plainMs.push(ms)
    for (const [i, { name, engine, proposers }] of ways.entries()) {
      const { timings } = await timingsOf(engine, {
        prompt,
        maxTokens: 8,
        policy: 'provisional',
        minStability: 0,
        proposers,
        cacheSalt: `${name} ${length} ${run}`,
      })
      if (run > 0) all[i]!.timings.push(timings)
    }
  }
  return all
}

/** Medians, in milliseconds; what was shown early only if it was. Ratios are of pairs, whose halves saw the same machine. */
export function summary({ plain, timings }: FirstWordTimes) {
  const committed = (t: Timings) => t.committedMs ?? Number.NaN
  const provisional = (t: Timings) => t.provisionalMs ?? Number.NaN
  const shown = timings.some((t) => provisional(t) < committed(t))
  return {
    plain: median(plain),
    provisional: shown ? median(timings.map(provisional)) : undefined,
    committed: median(timings.map(committed)),
    early: shown ? median(timings.map((t) => provisional(t) / committed(t))) : undefined,
    ratio: median(timings.map((t, i) => committed(t) / plain[i]!)),
  }
}
