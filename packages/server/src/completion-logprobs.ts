import type { PromptToken, TokenLogprob } from '@incipit/engine/api'

const decoder = new TextDecoder()

/** JSON has no infinity: what is impossible is as improbable as OpenAI says it. */
export const leastLogprob = -9999

/** `logprobs` of `/v1/completions`: tokens, in lists of their own each. */
export interface CompletionLogprobs {
  readonly tokens: readonly string[]
  /** Null of a prompt's first token, which follows nothing. */
  readonly token_logprobs: readonly (number | null)[]
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[]
  /** Where the tokens begin in the text of the answer. */
  readonly text_offset: readonly number[]
}

/** Of tokens of a reply, the first of which stands at `offset`. */
export function replyLogprobs(tokens: readonly PromptToken[], offset: number): CompletionLogprobs {
  return inLists(
    tokens,
    beginnings(tokens).begins.map((begin) => offset + begin),
  )
}

/** Of the tokens of a prompt that the answer begins with. */
export function echoLogprobs(tokens: readonly PromptToken[], text: string): CompletionLogprobs {
  const { begins, length } = beginnings(tokens)
  // What the model has in front of every text, such as `<s>`, was not in the request's.
  const added = Math.max(0, length - text.length)
  return inLists(
    tokens,
    begins.map((begin) => Math.max(0, begin - added)),
  )
}

export function joined(first: CompletionLogprobs, second: CompletionLogprobs): CompletionLogprobs {
  return {
    tokens: [...first.tokens, ...second.tokens],
    token_logprobs: [...first.token_logprobs, ...second.token_logprobs],
    top_logprobs: [...first.top_logprobs, ...second.top_logprobs],
    text_offset: [...first.text_offset, ...second.text_offset],
  }
}

function inLists(tokens: readonly PromptToken[], offsets: readonly number[]): CompletionLogprobs {
  const text = ({ bytes }: Pick<TokenLogprob, 'bytes'>) => decoder.decode(Uint8Array.from(bytes))
  const finite = (logprob: number) => Math.max(leastLogprob, logprob)
  return {
    tokens: tokens.map(text),
    token_logprobs: tokens.map(({ logprob }) => (logprob === null ? null : finite(logprob))),
    top_logprobs: tokens.map(({ logprob, top }) =>
      logprob === null ? null : Object.fromEntries(top.map((other) => [text(other), finite(other.logprob)])),
    ),
    text_offset: offsets,
  }
}

/** Where tokens begin in their text, in UTF-16 units, and how long that is. A character may be several tokens. */
function beginnings(tokens: readonly PromptToken[]): { begins: number[]; length: number } {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let length = 0
  const begins = tokens.map(({ bytes }) => {
    const begin = length
    length += decoder.decode(Uint8Array.from(bytes), { stream: true }).length
    return begin
  })
  return { begins, length }
}
