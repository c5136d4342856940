import type { Flight } from '../flight.ts'
import { choose, probabilityOf, topProbability } from '../flow/sample.ts'
import { maskLogits } from '../propose/grammar.ts'

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
