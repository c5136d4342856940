import type { ConstraintState } from '../../api/constraint.ts'
import type { ReplyText } from './reply-text.ts'

/** The last tokens of a prompt and the reply behind it. */
export interface PenaltyWindow {
  readonly prompt: readonly number[]
  /** So many; at least 1. */
  readonly length: number
}

/**
 * What choosing a token needs to know of the reply before it: the constraint's state, and how often each token stands
 * there, or in a window that ends there. It follows the reply forwards and backwards; committed tokens are followed once.
 */
export class ReplyState {
  readonly constraint: ConstraintState | undefined
  readonly counts = new Map<number, number>()
  /** The reply that it stands behind. */
  readonly #tokens: number[] = []
  readonly #window: PenaltyWindow | undefined
  /** Of these, so many are committed. */
  #committed = 0

  constructor(constraint: ConstraintState | undefined, window?: PenaltyWindow) {
    this.constraint = constraint
    this.#window = window
    if (window) for (const token of window.prompt.slice(-window.length)) this.#count(token, 1)
  }

  /** Moves behind this reply. */
  follow({ tokens, start, end, committed }: ReplyText): void {
    const length = end - start
    let same = Math.min(this.#committed, length)
    while (same < Math.min(this.#tokens.length, length) && this.#tokens[same] === tokens[start + same]) same++
    this.#back(this.#tokens.length - same)
    for (let index = same; index < length; index++) this.#advance(tokens[start + index]!)
    this.#committed = Math.max(this.#committed, Math.min(committed, end) - start)
  }

  #advance(token: number): void {
    this.constraint?.advance(token)
    this.#tokens.push(token)
    this.#count(token, 1)
    this.#countPassed(-1)
  }

  /** Takes the last `count` tokens back. */
  #back(count: number): void {
    if (count <= 0) return
    this.constraint?.rollback(count)
    for (let i = 0; i < count; i++) {
      this.#countPassed(1)
      this.#count(this.#tokens.pop()!, -1)
    }
    this.#committed = Math.min(this.#committed, this.#tokens.length)
  }

  /** The token that the window has just passed, where there is one, is not in it; going back, it is again. */
  #countPassed(by: 1 | -1): void {
    if (!this.#window) return
    const { prompt, length } = this.#window
    const place = prompt.length + this.#tokens.length - length - 1
    if (place >= 0) this.#count(place < prompt.length ? prompt[place]! : this.#tokens[place - prompt.length]!, by)
  }

  #count(token: number, by: 1 | -1): void {
    const count = (this.counts.get(token) ?? 0) + by
    if (count > 0) this.counts.set(token, count)
    else this.counts.delete(token)
  }
}
