import type { ReplyText } from '../core/sampling/reply-text.ts'
import type { Choice } from '../core/sampling/token-chooser.ts'
import type { GuessSampler } from './guess-sampler.ts'
import { token } from './random.ts'
import { endToken } from './vocabulary.ts'
import type { SimulatedRequest } from './workload.ts'

// What a draw is about.
const aboutWrong = 203

/** Where replies come from. */
interface Script {
  /** What the full model says to a request at a position of its reply. */
  readonly said: (request: number, position: number) => number
  readonly guesses: GuessSampler
  readonly seed: number
}

/** The reply to one request, and what is guessed of it. Probabilities are calibrated: they are those of being right. */
export class ScriptedReply {
  readonly #request: SimulatedRequest
  readonly #script: Script

  constructor(request: SimulatedRequest, script: Script) {
    this.#request = request
    this.#script = script
  }

  /** What the full model says at a position of the reply. The last token of a reply is one that ends it. */
  said(position: number): number {
    const { index, reply } = this.#request
    return position === reply - 1 ? endToken : this.#script.said(index, position)
  }

  /** What an exit head guesses after a reply. */
  exit(text: ReplyText): Choice {
    const { guesses } = this.#script
    const position = text.end - text.start
    const right = this.#isSaid(text) && guesses.exit(this.#request.index, position)
    return { token: this.#guess(position, right), probability: guesses.quality.exits }
  }

  /**
   * What a lookahead decodes after the tokens that it decoded before.
   * @param read prompt tokens that were read before it began
   */
  lookahead(text: ReplyText, read: number): Choice {
    const { guesses } = this.#script
    const { index, prompt } = this.#request
    const position = text.end - text.start
    if (position === 0) {
      const { stability, right } = guesses.look(index, read / prompt.length)
      return { token: this.#guess(0, right), probability: stability }
    }
    const right = this.#isSaid(text) && guesses.draft(index, position)
    return { token: this.#guess(position, right), probability: guesses.quality.drafts }
  }

  /** A draft for what follows so many tokens of the reply. Empty where nobody has one, or the end is all it would say. */
  draft(position: number, length: number): number[] {
    const { guesses } = this.#script
    const { index } = this.#request
    const tokens: number[] = []
    if (!guesses.offers(index, position)) return tokens
    let right = true
    for (let at = position; at < position + length; at++) {
      right &&= guesses.draft(index, at)
      const guess = this.#guess(at, right)
      // As those of all proposers, a draft stops before it.
      if (guess === endToken) break
      tokens.push(guess)
    }
    return tokens
  }

  /** Nothing is right after the end. */
  #guess(position: number, right: boolean): number {
    const { index, reply } = this.#request
    return right && position < reply ? this.said(position) : token(this.#script.seed, aboutWrong, index, position)
  }

  /** Whether the full model would say this, too. What is committed it did say. */
  #isSaid({ tokens, start, end, committed }: ReplyText): boolean {
    for (let at = committed; at < end; at++) if (tokens[at] !== this.said(at - start)) return false
    return true
  }
}
