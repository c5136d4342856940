import type { Policy } from '../src/api/policies.ts'
import type { ProposerName } from '../src/api/proposer-names.ts'
import type { Tier } from '../src/api/tiers.ts'
import type { Penalties } from '../src/api/validation.ts'
import type { Limits } from '../src/core/schedule/schedule.ts'
import type { MemoryKind } from './simulation.ts'

// A random schedule as plain data: what comes when, who guesses what, and what goes wrong. Ticks count what happens: steps
// that end, and turns in which there is nothing to do.

/** Guesses: `length` tokens, of which the first `right` are what the reply will be. */
export interface Guesses {
  readonly length: number
  readonly right: number
}

/** What a head or a lookahead holds for likely. */
export interface HeadGuess {
  /** Where the reply's own next token stands among its likeliest ones; 0: first. */
  readonly rank: number
  readonly probability: number
}

/** A language that a reply must be of, by number (`regularLanguage`), and the call at which its code throws. */
interface ConstraintPlan {
  readonly language: number
  readonly throwsAt: number | undefined
}

/** A reply to a text that is not final: it waits after `budget` tokens until it is adopted, if ever. */
export interface EarlyPlan {
  readonly budget: number
  /** Ticks after its arrival. */
  readonly adopt: number | undefined
  /** Tokens that the reply then may have beside `reply`. */
  readonly more: number
}

/** One request. */
export interface Arrival {
  /** Tick before which it arrives. */
  readonly at: number
  readonly prompt: readonly number[]
  readonly salt: string
  readonly shares: boolean
  readonly tier: Tier
  /** Most tokens of the reply. */
  readonly reply: number
  readonly policy: Policy
  readonly alpha: number
  readonly minStability: number
  readonly stop: readonly string[]
  readonly minTokens: number
  readonly temperature: number
  readonly bias: readonly (readonly [token: number, bias: number])[]
  readonly penalties: Penalties
  readonly logprobs: number | undefined
  /** Its prompt is scored. */
  readonly promptLogprobs: number | undefined
  readonly constraint?: ConstraintPlan
  /** Who may guess. */
  readonly proposers: readonly ProposerName[]
  /** What they guess, in turn. */
  readonly guesses: readonly Guesses[]
  /** What the exit head and lookaheads see, in turn. */
  readonly heads: readonly HeadGuess[]
  /** Lookaheads: where in the prompt they begin, and how much of what is left they leave out; 0 to 1 each. */
  readonly lookaheads: readonly { readonly at: number; readonly skip: number }[]
  /** Ticks after its arrival until it is cancelled. */
  readonly cancel: number | undefined
  /** The prompt while it is typed, one state per tick: its first tokens, then others. */
  readonly typed?: readonly { readonly right: number; readonly wrong: number }[]
  /** It is typed further after it was answered. */
  readonly keep: boolean
  /** Tick at which whoever types goes away. */
  readonly forget: number | undefined
  readonly early?: EarlyPlan
  /** The event at which its reader throws, and the one at which it cancels. */
  readonly throwsAt: number | undefined
  readonly cancelsAt: number | undefined
}

/** What becomes of a step. */
export interface Fate {
  /** Which of those that run ends next. */
  readonly pick: number
  /** It is aborted after so many rows, whether somebody asked for that or not. */
  readonly aborted: number | undefined
  /** It is done before the loop's own abort takes effect. */
  readonly done: boolean
}

/** A moment in which nothing may run. After it, and so many microtasks more, time goes on by a tick. */
export interface Pause {
  readonly at: number
  readonly microtasks: number
}

export interface Schedule {
  /** Per stage the device it lives on. */
  readonly devices: readonly number[]
  readonly slots: number
  readonly parallel: number
  readonly maxWaiting: number
  readonly unified: boolean
  readonly memory: MemoryKind
  /** Cells beside what the largest request needs. */
  readonly spareCells: number
  readonly savedBytes: number
  /** By how much the context is shorter than what is asked for. */
  readonly shortContext: number
  readonly limits: Limits
  /** Milliseconds of a step: `fixed`, and `row` for every row. */
  readonly cost: { readonly fixed: number; readonly row: number }
  /** Whether guesses pay, in turn; undefined: by what they cost. */
  readonly pays: readonly boolean[] | undefined
  /** What a lookahead's token is worth, in turn. */
  readonly odds: readonly number[]
  /** A second model drafts. */
  readonly drafts: boolean
  readonly arrivals: readonly Arrival[]
  /** In turn. */
  readonly fates: readonly Fate[]
  /** Steps, by number, that fail: the requests in them end. */
  readonly failures: readonly { readonly step: number; readonly result: 'failed' | 'full' }[]
  readonly pauses: readonly Pause[]
  /** Calls of callers' code, by number, during which some ticks go by: what is due then happens inside a step. */
  readonly reentries: readonly number[]
  /** Tick at which everything ends with an error. */
  readonly failAt: number | undefined
}
