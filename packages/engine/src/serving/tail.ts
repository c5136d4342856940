import type { Timings } from '../api/events.ts'
import type { ProposerName } from '../api/proposer-names.ts'
import type { EngineStats } from '../api/stats.ts'
import { type Sequence, tailLength } from '../core/sequences/sequence.ts'
import type { SequenceTable, Verdict } from '../core/sequences/sequence-table.ts'
import type { Draft } from '../proposers/proposer.ts'
import type { Guess } from './reply.ts'
import { trace } from './trace.ts'

/** Told what became of a draft: of `offered` tokens that were verified or withdrawn, `right` were confirmed. */
export type OnVerified = (offered: number, right: number) => void

/** Told of guesses that are made. */
export type OnGuess = (source: ProposerName, tokens: readonly number[], stabilities: readonly number[]) => void

/** A draft that became a tail. */
interface TailDraft {
  readonly source: ProposerName
  /** Tokens it put there. */
  offered: number
  /** Of these, confirmed so far. */
  right: number
  readonly onVerified: OnVerified | undefined
}

/**
 * The guesses that stand behind a request's committed text. The tokens stand in its sequence; here is how sure each of
 * them is, who guessed them, and what becomes of them. Every change of a tail goes through here, so that sequence, reply
 * and acceptance never disagree.
 */
export class Tail {
  readonly #table: SequenceTable
  readonly #stats: EngineStats
  readonly #timings: Timings
  readonly #owner: { readonly sequence: Sequence | undefined }
  readonly #onGuess: OnGuess | undefined
  /** Per guess, the first one first. */
  #stabilities: number[] = []
  #draft: TailDraft | undefined

  constructor(
    table: SequenceTable,
    stats: EngineStats,
    timings: Timings,
    owner: { readonly sequence: Sequence | undefined },
    onGuess?: OnGuess,
  ) {
    this.#table = table
    this.#stats = stats
    this.#timings = timings
    this.#owner = owner
    this.#onGuess = onGuess
  }

  /** Who guessed, while guesses stand there. */
  get source(): ProposerName | undefined {
    return this.#draft?.source
  }

  /** Who guessed the next token, and how sure that is. */
  get first(): { readonly source: ProposerName; readonly stability: number } | undefined {
    const [stability] = this.#stabilities
    return this.#draft && stability !== undefined ? { source: this.#draft.source, stability } : undefined
  }

  /** Per guess the calibrated probability that it survives, given that those before it do. */
  get stabilities(): readonly number[] {
    return this.#stabilities
  }

  /** The guesses, for showing. */
  get guesses(): Guess[] {
    const { sequence } = this.#owner
    return this.#stabilities.map((stability, i) => ({ token: sequence!.tokens[sequence!.committed + i]!, stability }))
  }

  /** The first `length` tokens of a draft stand there from now on, in place of what stood there. */
  set(draft: Draft, length: number, onVerified?: OnVerified): void {
    const sequence = this.#owner.sequence!
    this.#withdraw()
    const tokens = draft.tokens.slice(0, length)
    if (tailLength(sequence) > 0) this.#table.replace(sequence, sequence.committed, tokens)
    else this.#table.append(sequence, tokens)
    this.#stabilities = draft.confidences.slice(0, length)
    this.#draft = { source: draft.source, offered: length, right: 0, onVerified }
    this.#timings.draftedN += length
    this.#onGuess?.(draft.source, tokens, this.#stabilities)
  }

  /** One more guess at the end. */
  append(source: ProposerName, { token, stability }: Guess): void {
    this.#table.append(this.#owner.sequence!, [token])
    this.#stabilities.push(stability)
    this.#draft ??= { source, offered: 0, right: 0, onVerified: undefined }
    this.#draft.offered++
    this.#timings.draftedN++
    this.#onGuess?.(source, [token], [stability])
  }

  /** The full model decided the next token: it confirms the first guess, or all guesses are wrong. */
  decide(token: number): Verdict {
    const sequence = this.#owner.sequence!
    const before = tailLength(sequence)
    const verdict = this.#table.decide(sequence, token)
    if (this.#draft === undefined) return verdict
    if (verdict === 'confirmed') this.#confirm(this.#draft)
    else this.#reject(this.#draft, before)
    if (this.#stabilities.length === 0) this.#close(this.#draft, this.#draft.offered)
    return verdict
  }

  /** The sequence's guesses are gone already: their place was needed, or the sequence lost its own. */
  clear(): void {
    this.#withdraw()
  }

  #confirm(draft: TailDraft): void {
    draft.right++
    this.#timings.acceptedN++
    this.#stabilities.shift()
  }

  #reject({ source }: TailDraft, tokens: number): void {
    this.#timings.rejectedN += tokens
    this.#stabilities = []
    trace?.(
      `rolled back seq${this.#owner.sequence?.order}: ${tokens} tokens of ${source}, the full model chose another`,
    )
  }

  /** Guesses go before anybody verified them. */
  #withdraw(): void {
    if (this.#draft === undefined) return
    const left = this.#stabilities.length
    this.#timings.rejectedN += left
    this.#stabilities = []
    // What was never verified says nothing about the proposer.
    this.#close(this.#draft, this.#draft.offered - left)
  }

  /** @param verified how many of its tokens were verified, or came after a wrong one */
  #close({ source, offered, right, onVerified }: TailDraft, verified: number): void {
    this.#draft = undefined
    const stats = this.#stats
    stats.drafted += offered
    stats.accepted += right
    stats.rejected += offered - right
    stats.proposers[source] ??= { drafts: 0, drafted: 0, accepted: 0 }
    const counts = stats.proposers[source]
    counts.drafts++
    counts.drafted += offered
    counts.accepted += right
    if (verified > 0) onVerified?.(verified, right)
    trace?.(`${source} seq${this.#owner.sequence?.order}: ${right} of ${offered} accepted`)
  }
}
