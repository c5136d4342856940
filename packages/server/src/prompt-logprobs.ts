import type { PromptToken } from '@incipit/engine/api'
import { leastLogprob } from './completion-logprobs.ts'

const decoder = new TextDecoder()

/** What vLLM says of a token. */
interface RankedLogprob {
  readonly logprob: number
  /** 1 is the likeliest. Null of a token of the prompt that is not among those that were asked for. */
  readonly rank: number | null
  readonly decoded_token: string
}

/** A prompt's log-probabilities as vLLM tells them: by token id, its own token first; null of the first token. */
export function promptLogprobs(
  tokens: readonly PromptToken[],
  count: number,
): (Readonly<Record<string, RankedLogprob>> | null)[] {
  return tokens.map(({ top, ...own }) => {
    const { logprob } = own
    if (logprob === null) return null
    const rank = top.findIndex(({ token }) => token === own.token)
    const ranked = top.slice(0, count).map((other, i) => ({ ...other, rank: i + 1 }))
    const all = [{ ...own, logprob, rank: rank < 0 ? null : rank + 1 }, ...ranked]
    return Object.fromEntries(
      all.map(({ token, bytes, logprob, rank }) => [
        token,
        { logprob: Math.max(leastLogprob, logprob), rank, decoded_token: decoder.decode(Uint8Array.from(bytes)) },
      ]),
    )
  })
}
