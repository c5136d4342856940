import type { TokenLogprobs } from '../api/events.ts'
import type { ChosenLogprobs } from '../core/sampling/logprobs.ts'

/** What the model said of a token, with the bytes of all tokens in it. */
export function tokenLogprobs(
  { top, ...chosen }: ChosenLogprobs,
  bytesOf: (token: number) => Uint8Array,
): TokenLogprobs {
  const bytes = (token: number) => [...bytesOf(token)]
  return {
    ...chosen,
    bytes: bytes(chosen.token),
    top: top.map((other) => ({ ...other, bytes: bytes(other.token) })),
  }
}
