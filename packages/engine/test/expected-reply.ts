import type { FinishReason, PromptToken } from '../src/api/events.ts'
import type { Vocabulary } from '../src/api/vocabulary.ts'
import { logprobsOf } from '../src/core/sampling/logprobs.ts'
import { argmax } from '../src/core/sampling/softmax.ts'
import { TokenChooser, type TokenChooserOptions } from '../src/core/sampling/token-chooser.ts'
import { tokenLogprobs } from '../src/serving/token-logprobs.ts'
import { StopScanner } from '../src/text/stop.ts'
import { RuledState } from './fixtures/constraints.ts'
import { regularLanguage } from './regular-language.ts'
import type { Arrival } from './schedule.ts'
import { endToken, type SequentialModel, vocabulary } from './simulated-model.ts'

/** Text of tokens: a letter each. */
export function lettersOf(tokens: readonly number[]): string {
  return tokens.map((token) => (token === endToken ? '' : 'abcdef'[token]!)).join('')
}

export const simulatedVocabulary: Vocabulary = {
  size: vocabulary + 1,
  bytesOf: (token) => new TextEncoder().encode(lettersOf([token])),
  isEndOfGeneration: (token) => token === endToken,
}

/** How the tokens of a request are chosen, but for its constraint. */
export function choosing({ prompt, temperature, bias, penalties, minTokens, logprobs }: Arrival): TokenChooserOptions {
  return {
    sampling: { temperature, topP: 1, topK: 0, minP: 0, seed: prompt.length },
    prompt,
    logitBias: new Map(bias),
    penalties,
    minTokens,
    endTokens: [endToken],
    logprobs,
  }
}

/** What a request is answered by sequential decoding, one token after the other and nothing guessed. */
export class ExpectedReply {
  readonly #arrival: Arrival
  readonly #model: SequentialModel
  readonly #chooser: TokenChooser
  readonly #contextLength: number
  /** Prompt and reply, as far as somebody asked. */
  readonly #tokens: number[]

  constructor(arrival: Arrival, model: SequentialModel, contextLength: number) {
    const { constraint, prompt } = arrival
    const state = constraint && new RuledState(regularLanguage(constraint.language))
    this.#arrival = arrival
    this.#model = model
    this.#chooser = new TokenChooser({ ...choosing(arrival), constraint: state })
    this.#contextLength = contextLength
    this.#tokens = [...prompt]
  }

  /** The first `length` tokens of the reply; fewer where it ends before. */
  tokens(length: number): number[] {
    const tokens = this.#tokens
    const start = this.#arrival.prompt.length
    while (tokens.length < start + length && tokens.at(-1) !== endToken) {
      const text = { tokens, start, end: tokens.length, committed: tokens.length }
      tokens.push(this.#chooser.choose(this.#model.logitsAfter(tokens), text).token)
    }
    return tokens.slice(start, start + length)
  }

  /** A likely next token after a prompt and a reply: the right one, where the reply is right so far. */
  tokenAfter(text: readonly number[]): number {
    const { length } = this.#arrival.prompt
    const right = this.tokens(text.length - length + 1)
    const agrees = right.length > text.length - length && text.every((token, i) => token === this.#tokens[i])
    return agrees ? right.at(-1)! : argmax(this.#model.logitsAfter(text))
  }

  /** What the model holds of the prompt's tokens, one after the other, and of the `count` likeliest ones in their place. */
  scores(count: number): PromptToken[] {
    const { prompt } = this.#arrival
    return prompt.map((token, i): PromptToken => {
      const { bytesOf } = simulatedVocabulary
      if (i === 0) return { token, logprob: null, bytes: [...bytesOf(token)], top: [] }
      return tokenLogprobs(logprobsOf(this.#model.logitsAfter(prompt.slice(0, i)), token, count), bytesOf)
    })
  }

  /** Why a reply ends with the last of these tokens, if it does. */
  endOf(reply: readonly number[], maxTokens: number): FinishReason | undefined {
    if (reply.at(-1) === endToken || this.#cut(reply) !== undefined) return 'stop'
    if (reply.length >= maxTokens) return 'length'
    return this.#arrival.prompt.length + reply.length >= this.#contextLength ? 'context' : undefined
  }

  /** The text of a reply that is complete. */
  textOf(reply: readonly number[]): string {
    return lettersOf(reply).slice(0, this.#cut(reply))
  }

  /** Where a stop string ends the text. */
  #cut(reply: readonly number[]): number | undefined {
    const { stop, minTokens } = this.#arrival
    const found = stop.map((one) => lettersOf(reply).indexOf(one, minTokens)).filter((at) => at >= 0)
    return found.length > 0 ? Math.min(...found) : undefined
  }

  /** Whether text may be held back, because it may become a stop string. */
  mayHold(text: string): boolean {
    return text === '' || this.#arrival.stop.some((stop) => stop !== text && stop.startsWith(text))
  }

  /**
   * What a reader sees of guesses.
   * @param held text of the committed reply that is held back
   */
  shown(held: string, guesses: readonly { readonly token: number; readonly stability: number }[]): string {
    let survival = 1
    let text = ''
    for (const { token, stability } of guesses) {
      survival *= stability
      if (survival < this.#arrival.minStability || token === endToken) break
      text += lettersOf([token])
    }
    if (text === '') return ''
    const stops = new StopScanner(this.#arrival.stop)
    stops.push(held)
    return stops.clip(text)
  }
}
