import type { ConstraintState } from '../../api/constraint.ts'
import type { ReplyText } from './reply-text.ts'

/**
 * What choosing a token needs to know of the reply before it: the constraint's state, and how often each token stands
 * there. It follows the reply forwards and backwards; committed tokens are followed once.
 */
export class ReplyState {
  readonly constraint: ConstraintState | undefined
  readonly counts = new Map<number, number>()
  /** The reply that it stands behind. */
  readonly #tokens: number[] = []
  /** Of these, so many are committed. */
  #committed = 0

  constructor(constraint: ConstraintState | undefined) {
    this.constraint = constraint
  }

  /** Moves behind this reply. */
  follow({ tokens, start, end, committed }: ReplyText): void {
    const length = end - start
    let same = Math.min(this.#committed, length)
    while (same < Math.min(this.#tokens.length, length) && this.#tokens[same] === tokens[start + same]) same++
    this.back(this.#tokens.length - same)
    for (let index = same; index < length; index++) this.advance(tokens[start + index]!)
    this.#committed = Math.max(this.#committed, Math.min(committed, end) - start)
  }

  /**
   * How often each token stands among the last `window` of the prompt and the reply.
   * @param window at least 1
   */
  recentCounts(prompt: readonly number[], window: number): ReadonlyMap<number, number> {
    const ofPrompt = Math.min(prompt.length, Math.max(0, window - this.#tokens.length))
    const recent = [...prompt.slice(prompt.length - ofPrompt), ...this.#tokens.slice(-window)]
    const counts = new Map<number, number>()
    for (const token of recent) counts.set(token, (counts.get(token) ?? 0) + 1)
    return counts
  }

  advance(token: number): void {
    this.constraint?.advance(token)
    this.#tokens.push(token)
    this.counts.set(token, (this.counts.get(token) ?? 0) + 1)
  }

  /** Takes the last `count` tokens back. */
  back(count: number): void {
    if (count <= 0) return
    this.constraint?.rollback(count)
    for (const token of this.#tokens.splice(this.#tokens.length - count)) {
      const left = this.counts.get(token)! - 1
      if (left > 0) this.counts.set(token, left)
      else this.counts.delete(token)
    }
    this.#committed = Math.min(this.#committed, this.#tokens.length)
  }
}
