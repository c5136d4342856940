import { choose, isTypical, topProbability } from '../src/core/sampling/sample.ts'
import type { Engine, GenerateRequest, Timings } from '../src/index.ts'
import type { Plain } from '../src/tune/plain.ts'

/** A whole reply. */
export interface Said {
  readonly text: string
  readonly timings: Timings
  /** The text as tokens, or undefined when it can also be cut into another number of them than the reply had. */
  readonly tokens: readonly number[] | undefined
  /** Per delta: its tokens, and how many of them a lossy policy said. */
  readonly deltas: readonly { readonly text: string; readonly tokens: number; readonly lossy: number }[]
}

/** Reads a reply to its end. Nothing else may run in the engine. */
export async function said(engine: Engine, request: GenerateRequest): Promise<Said> {
  // A delta is read before the next step ends, so that the engine's counters stand where they stood when it was said.
  const count = () => engine.stats().early + engine.stats().tolerated
  const deltas: Said['deltas'][number][] = []
  let before = count()
  for await (const event of engine.generate(request)) {
    if (event.type === 'delta') {
      deltas.push({ text: event.text, tokens: event.tokens, lossy: count() - before })
      before = count()
    }
    if (event.type !== 'done') continue
    const { timings, finishReason } = event
    const text = deltas.map((delta) => delta.text).join('')
    // The token that ends a reply has no text; it is not judged.
    const length = timings.predictedN - (finishReason === 'stop' ? 1 : 0)
    const cuts = [deltas.flatMap((delta) => engine.tokenize(delta.text)), engine.tokenize(text)]
    return { text, timings, tokens: cuts.find((cut) => cut.length === length), deltas }
  }
  throw new Error('the reply ended without `done`')
}

/** Of what the full model thinks of a reply's tokens (`regrets`): the part that belongs to those a lossy policy said. */
export function lossyOf({ deltas }: Pick<Said, 'deltas'>, gaps: readonly number[]): number[] {
  let at = 0
  return deltas.flatMap(({ tokens, lossy }) => {
    const own = gaps.slice(at, at + tokens)
    at += tokens
    return own.sort((a, b) => b - a).slice(0, lossy)
  })
}

/**
 * What the full model thinks of each token of a reply: log p(its best token) - log p(the token said), in nats; 0 where it
 * would have said the same. One pass over the reply; the rows before `last` must be in the cache and stay there.
 * @param last the prompt's last token
 */
export async function regrets(plain: Plain, last: number, reply: readonly number[]): Promise<number[]> {
  const { rows } = plain
  await plain.run([last, ...reply.slice(0, -1)], 0)
  const logits = new Float32Array(plain.model.vocab.size)
  const gaps = reply.map((token, row) => {
    plain.context.logits(row, logits)
    return logits[topProbability(logits).token]! - logits[token]!
  })
  plain.reset(rows)
  return gaps
}

/** How often a draft survives, by the rule that decides. */
export interface Survival {
  /** Strict: draft and decision are chosen with the same noise of their position, and must be the same token. */
  readonly strict: number
  /** sum of min(p, q): what the best possible coupling of the two distributions keeps. */
  readonly overlap: number
  /** `tolerant` at alpha 0.5, with the draft chosen as above: it is the strict choice, or typical. */
  readonly tolerant: number
}

const seeds = 100

/**
 * @param p the full model's logits
 * @param q the drafter's
 */
export function survivalOf(p: Float32Array, q: Float32Array, temperature: number): Survival {
  let same = 0
  let kept = 0
  const draws = temperature > 0 ? seeds : 1
  for (let seed = 0; seed < draws; seed++) {
    const sampling = { temperature, topP: 1, topK: 0, minP: 0, seed }
    const draft = choose(q, sampling, 0)
    const right = choose(p, sampling, 0) === draft
    if (right) same++
    if (right || isTypical(p, draft, 0.5)) kept++
  }
  const overlap = temperature > 0 ? overlapOf(softmax(p, temperature), softmax(q, temperature)) : same
  return { strict: same / draws, overlap, tolerant: kept / draws }
}

function softmax(logits: Float32Array, temperature: number): Float64Array {
  const max = logits[topProbability(logits).token]!
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - max) / temperature))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return weights.map((weight) => weight / sum)
}

function overlapOf(p: Float64Array, q: Float64Array): number {
  return p.reduce((sum, probability, token) => sum + Math.min(probability, q[token]!), 0)
}
