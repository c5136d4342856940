import type { Policy, ProposerName, Sampling } from '../api/request.ts'
import type { Job } from '../core/schedule/scheduler.ts'
import type { Sequence } from '../core/sequences/sequence.ts'
import type { GrammarHook } from '../proposers/grammar.ts'
import type { HeadsProposer } from '../proposers/heads.ts'
import type { Opening } from '../proposers/opening.ts'
import type { Proposer } from '../proposers/proposer.ts'
import type { LookPlan } from '../proposers/skim.ts'
import type { InputPrefill } from './input-prefill.ts'
import type { Guess, Reply } from './reply.ts'
import type { Candidate } from './speculation/alternatives.ts'

/** A look ahead that is running on a fork. */
interface Look {
  readonly fork: Sequence
  readonly tokens: number[]
  readonly stabilities: number[]
  /** Whether its tokens are the tail; not when somebody else is surer. */
  speaks: boolean
  /** Other first tokens it holds possible. */
  others?: readonly Candidate[]
}

/** A draft that became a tail. */
export interface TailDraft {
  readonly source: ProposerName
  /** Tokens it put there. */
  offered: number
  /** Of these, confirmed so far. */
  right: number
  /** Told what became of it. */
  readonly judge?: (offered: number, right: number) => void
}

/** One request between its arrival and its last event. */
export interface Flight extends Job {
  readonly sampling: Sampling
  readonly allowed: ReadonlySet<ProposerName>
  readonly policy: Policy
  /** Policy `tolerant`: a shown token stays when the full model holds it this likely, as a share of its best token. */
  readonly alpha: number
  /** Guesses are shown, from this stability on. */
  readonly provisional: boolean
  readonly minStability: number
  readonly reply: Reply
  /** Proposers of later tokens that cost nearly nothing to ask. */
  readonly proposers: readonly Proposer[]
  /** How replies to similar prompts began: a guess before the first layer. */
  readonly opening: Opening | undefined
  /** Guesses from the exit's state; one of `asks`. */
  readonly heads: HeadsProposer | undefined
  /** What the reply must look like. */
  readonly grammar: GrammarHook | undefined
  /** Looks that are still to be taken. */
  looks: readonly LookPlan[]
  look: Look | undefined
  /** The first token that the last look saw. */
  seen: number | undefined
  /** The text it answers: its rows are taken over. */
  readonly input: InputPrefill | undefined
  /**
   * A reply to a text that is not final: revocable work of at most `budget` tokens, dropped when anybody else needs the
   * place. Undefined once the text is final.
   */
  ahead: { readonly budget: number; readonly dropped: () => void } | undefined
  /** The tail's tokens with their stability, for showing. */
  guesses: Guess[]
  /** Who proposed the tail, how many of it were confirmed so far, and who wants to know when the rest is. */
  draft: TailDraft | undefined
  /** Set when the last event was emitted. */
  ended: { readonly error: unknown } | undefined
  /** Ends the reading side, with an error if there was one. */
  close(error?: unknown): void
}
