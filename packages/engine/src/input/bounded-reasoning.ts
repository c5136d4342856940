import type { ConstraintState, TokenMask } from '../api/constraint.ts'
import type { ReasoningMarkers } from '../api/reasoning.ts'
import { allowedLength } from '../core/sampling/allowed-length.ts'
import { allows, maskOf } from '../core/sampling/token-mask.ts'

/** How reasoning is bounded. */
export interface ReasoningBound {
  readonly markers: ReasoningMarkers
  /** Most tokens of it. */
  readonly budget: number
  /** What is said when it was long enough: its end, and where the answer begins. See {@link endingOf}. */
  readonly ending: readonly number[]
  readonly textOf: (token: number) => string
  /** Tokens of the vocabulary. */
  readonly size: number
}

type Place =
  /** Reasoning may begin: its start marker may have begun at the end of this text. */
  | { readonly at: 'outside'; readonly text: string; readonly tokens: number }
  /** In the reasoning: so many tokens of it, and its last characters. */
  | { readonly at: 'inside'; readonly text: string; readonly tokens: number }
  /** It was long enough: so many tokens of the ending were said. */
  | { readonly at: 'ending'; readonly said: number; readonly tokens: number }
  /** There is no more reasoning. */
  | { readonly at: 'over' }

/** The text ends inside a character. */
const insideCharacter = /\uFFFD$/
/** Behind the first token of a character there are at most so many more of it. */
const restOfCharacter = 3

/** The text that ends reasoning of this kind and begins the answer. */
export function endingOf({ end, messages }: ReasoningMarkers): string {
  return messages ? messages.end + messages.next + end : end
}

/**
 * A reply whose reasoning has at most so many tokens, and a few more where a character would be cut: then its ending follows.
 * A constraint of the whole reply goes first: where it does not allow the ending, such as the way to the answer where a tool
 * must be called, the reply goes on as that allows.
 */
export class BoundedReasoning implements ConstraintState {
  readonly #bound: ReasoningBound
  readonly #reply: ConstraintState | undefined
  /** Where it stood before each token of the reply, and where it stands. */
  readonly #places: Place[]

  /**
   * @param reply what else holds for the reply
   * @param from the prompt ends in the reasoning, or before it
   */
  constructor(
    bound: ReasoningBound,
    reply: ConstraintState | undefined,
    from: 'inside' | 'outside' | readonly Place[],
  ) {
    this.#bound = bound
    this.#reply = reply
    const begin = { text: '', tokens: 0 }
    this.#places =
      from === 'inside' ? [this.#inside(begin)] : from === 'outside' ? [{ at: 'outside', ...begin }] : [...from]
  }

  mask(): TokenMask | undefined {
    const allowed = this.#reply?.mask()
    const [next] = this.#ending(this.#place)
    return next !== undefined && allows(allowed, next) ? maskOf([next], this.#bound.size) : allowed
  }

  forced(): readonly number[] {
    const ending = this.#ending(this.#place)
    if (this.#reply === undefined) return ending
    const sure = ending.slice(0, allowedLength(this.#reply, ending))
    return sure.length > 0 ? sure : this.#reply.forced()
  }

  allowedLength(tokens: readonly number[]): number {
    const most = this.#reply ? allowedLength(this.#reply, tokens) : tokens.length
    let place = this.#place
    for (let length = 0; length < most; length++) {
      const token = tokens[length]!
      const [next] = this.#ending(place)
      if (next !== undefined && next !== token && this.#allowsAfter(tokens.slice(0, length), next)) return length
      place = this.#next(place, token)
    }
    return most
  }

  advance(token: number): void {
    this.#reply?.advance(token)
    this.#places.push(this.#next(this.#place, token))
  }

  rollback(count: number): void {
    this.#reply?.rollback(count)
    this.#places.splice(this.#places.length - count)
  }

  fork(): ConstraintState {
    return new BoundedReasoning(this.#bound, this.#reply?.fork(), this.#places)
  }

  [Symbol.dispose](): void {
    this.#reply?.[Symbol.dispose]?.()
  }

  get #place(): Place {
    return this.#places.at(-1)!
  }

  /** What is left of the ending. */
  #ending(place: Place): readonly number[] {
    return place.at === 'ending' ? this.#bound.ending.slice(place.said) : []
  }

  /** Whether the rest of the reply allows a token behind these. */
  #allowsAfter(tokens: readonly number[], next: number): boolean {
    return this.#reply === undefined || allowedLength(this.#reply, [...tokens, next]) > tokens.length
  }

  #next(place: Place, token: number): Place {
    const { markers, ending, textOf } = this.#bound
    switch (place.at) {
      case 'over':
        return place
      case 'ending': {
        const said = place.said + 1
        if (token === ending[place.said] && said < ending.length) return { ...place, said }
        const text = [...ending.slice(0, place.said), token].map(textOf).join('')
        return this.#outside(text, place.tokens)
      }
      case 'inside': {
        const end = markers.messages?.end ?? markers.end
        const text = place.text + textOf(token)
        const at = text.indexOf(end)
        if (at >= 0) return this.#outside(text.slice(at + end.length), place.tokens)
        return this.#inside({ text: text.slice(1 - end.length), tokens: place.tokens + 1 })
      }
      case 'outside':
        return this.#begun(place.text + textOf(token), place.tokens)
    }
  }

  /** In the reasoning, or where it was long enough at its ending. */
  #inside(reasoning: { readonly text: string; readonly tokens: number }): Place {
    const { text, tokens } = reasoning
    const over = tokens - this.#bound.budget
    if (over >= restOfCharacter || (over >= 0 && !insideCharacter.test(text))) return { at: 'ending', said: 0, tokens }
    return { at: 'inside', ...reasoning }
  }

  /** Behind it: in a later message there may be more. */
  #outside(text: string, tokens: number): Place {
    return this.#bound.markers.messages ? this.#begun(text, tokens) : { at: 'over' }
  }

  #begun(text: string, tokens: number): Place {
    const { start, messages } = this.#bound.markers
    if (messages) {
      const at = text.indexOf(start)
      if (at < 0) return { at: 'outside', text: text.slice(1 - start.length), tokens }
      return this.#inside({ text: text.slice(at + start.length), tokens })
    }
    // A reply begins with it, or does not reason.
    const said = text.trimStart()
    if (said.startsWith(start)) return this.#inside({ text: said.slice(start.length), tokens })
    return start.startsWith(said) ? { at: 'outside', text, tokens } : { at: 'over' }
  }
}
