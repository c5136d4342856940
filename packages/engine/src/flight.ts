import type { Sequence } from './flow/sequence.ts'
import type { OpenText } from './open-text.ts'
import type { LookupIndex } from './propose/lookup.ts'
import type { Draft } from './propose/proposer.ts'
import type { LookPlan } from './propose/skim.ts'
import type { Guess, Reply } from './reply.ts'
import type { ProposerName, Sampling } from './request.ts'

/** A look ahead that is running on a fork. */
interface Look {
  readonly fork: Sequence
  readonly tokens: number[]
  readonly stabilities: number[]
}

/** One request between its arrival and its last event. */
export interface Flight {
  readonly prompt: readonly number[]
  readonly sampling: Sampling
  maxTokens: number
  readonly proposers: ReadonlySet<ProposerName>
  /** Guesses are shown, from this stability on. */
  readonly provisional: boolean
  readonly minStability: number
  /** Namespace for reuse. */
  readonly salt: string
  readonly reply: Reply
  readonly lookup: LookupIndex | undefined
  /** Looks that are still to be taken. */
  looks: readonly LookPlan[]
  look: Look | undefined
  /** The first token that the last look saw. */
  seen: number | undefined
  /** Undefined while it waits for a place. */
  sequence: Sequence | undefined
  /** KV cells reserved for it. */
  cells: number
  /** Prompt rows it found computed. */
  cached: number
  /** The text it answers: its rows are taken over, and given back with the reply. */
  readonly text: OpenText | undefined
  /**
   * A reply to a text that is not final: revocable work of at most `budget` tokens, dropped when anybody else needs the
   * place. Undefined once the text is final.
   */
  ahead: { readonly budget: number; readonly dropped: () => void } | undefined
  /** The tail's tokens with their stability, for showing. */
  guesses: Guess[]
  /** Who proposed the tail, and how many of it were confirmed so far. */
  draft: { source: ProposerName; match: number; offered: number; right: number } | undefined
  /** Set when the last event was emitted. */
  ended: { readonly error: unknown } | undefined
  /** Ends the reading side, with an error if there was one. */
  close(error?: unknown): void
}

/** The tail of a flight becomes this draft (its first `length` tokens). */
export function setDraft(flight: Flight, draft: Draft & { match?: number }, length: number): number[] {
  const tokens = draft.tokens.slice(0, length)
  flight.guesses = tokens.map((token, i) => ({ token, stability: draft.confidences[i]! }))
  flight.draft = { source: draft.source, match: draft.match ?? 0, offered: tokens.length, right: 0 }
  flight.reply.timings.draftedN += tokens.length
  return tokens
}

/** Adds one guess to the tail, as an exit does while it speaks. */
export function addGuess(flight: Flight, source: ProposerName, guess: Guess): void {
  flight.guesses.push(guess)
  flight.draft ??= { source, match: 0, offered: 0, right: 0 }
  flight.draft.offered++
  flight.reply.timings.draftedN++
}
