import { choose, probabilityOf, topProbability } from '../../core/sampling/sample.ts'
import { maskLogits } from '../../proposers/grammar.ts'
import type { Flight } from '../active-request.ts'

/**
 * The token these logits choose after `tokens`, as the full model's would, and how probable they hold it.
 * @param tokens prompt and reply so far, guesses included
 */
export function guessOf(
  logits: Float32Array,
  flight: Flight,
  tokens: readonly number[],
): { token: number; probability: number } {
  if (flight.grammar) maskLogits(logits, flight.grammar.allowed(tokens.slice(flight.prompt.length)))
  const token = choose(logits, flight.sampling, tokens.length)
  const top = topProbability(logits)
  return top.token === token ? top : { token, probability: probabilityOf(logits, token) }
}
