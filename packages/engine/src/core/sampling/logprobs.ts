import type { TokenLogprob } from '../../api/events.ts'
import { topK } from './sample.ts'
import { softmaxOf } from './softmax.ts'

/** What the model says of a token, without its bytes, which the tokenizer knows. */
export type Logprob = Omit<TokenLogprob, 'bytes'>

/** What the model says of a token, and of the likeliest ones in its place. */
export interface ChosenLogprobs extends Logprob {
  readonly top: readonly Logprob[]
}

/**
 * Log-probabilities at temperature 1 of a row that nobody has changed.
 * @returns `of` that of a logit of this row, and the `count` likeliest tokens
 */
export function topLogprobs(
  logits: Float32Array,
  count: number,
): { readonly of: (logit: number) => number; readonly top: readonly Logprob[] } {
  const { max, sum } = softmaxOf(logits)
  const of = (logit: number) => logit - max - Math.log(sum)
  const top = topK(logits, count).map(({ token }) => ({ token, logprob: of(logits[token]!) }))
  return { of, top }
}

/** What a row that nobody has changed says of one token. */
export function logprobsOf(logits: Float32Array, token: number, count: number): ChosenLogprobs {
  const { of, top } = topLogprobs(logits, count)
  return { token, logprob: of(logits[token]!), top }
}
