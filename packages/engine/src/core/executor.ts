import type { Caches } from './kv/caches.ts'
import type { ChosenLogprobs } from './sampling/logprobs.ts'
import type { ReplyText } from './sampling/reply-text.ts'
import type { CallerFault, Choice, TokenChooser, Wanted } from './sampling/token-chooser.ts'
import type { Rows, Step } from './sequences/sequence.ts'

/** How a step ended. `full`: the cache had no room for it. Unless it is `done`, nothing of it counts as computed. */
export interface EndedStep {
  readonly step: Step
  readonly result: 'done' | 'aborted' | 'full' | 'failed'
  /** Milliseconds inside the computation. */
  readonly ms: number
  /** False where `ms` says nothing about what such a step costs: it ran on other threads than steps do. */
  readonly measured: boolean
  /** Why it failed. */
  readonly failure?: unknown
}

/** A row with output of a step that is done. */
export interface OutputRow {
  readonly step: Step
  readonly rows: Rows
  /** Index of the row's token in its sequence; at least `rows.output`. */
  readonly index: number
}

/** A place at which a token is to be chosen: after a row, and the reply before it. */
export interface Place extends OutputRow {
  readonly reply: ReplyText
}

/**
 * Runs steps. It owns weights, KV rows and hidden states, and chooses tokens beside the logits: who schedules and
 * speculates sees tokens and probabilities only. Implementations: llama.cpp (`runtime/`), a virtual clock (`simulate/`),
 * one that fails on purpose (tests).
 */
export interface Executor {
  /** The caches of all stages. None may be touched while a step runs in its stage. */
  readonly caches: Caches
  /** Begins a step; one at a time per device. */
  run(step: Step): void
  /** Waits for the step that ends first, of those that run. */
  ended(): Promise<EndedStep>
  /** Stops what runs in a stage, if anything does: it ends as `aborted`, unless it is done before. */
  abort(stage: number): void
  /** Keeps what a step that is done leaves for the next stage, as far as its rows are still valid. */
  storeHiddenStates(step: Step): void
  /** Chooses a token from the logits of a row. Possible until the next step of the stage begins. */
  choose(place: Place, chooser: TokenChooser, wanted?: Wanted): Choice
  /** What a row says of the token after it, and its `count` likeliest ones. Possible as long as `choose`. */
  score(row: OutputRow, token: number, count: number): ChosenLogprobs
  /** What trained heads guess after the token after this one, from the state that left stage 0; undefined without. */
  headGuesses?(slot: number, index: number): readonly HeadGuess[] | undefined
  /** A model that drafts for all replies at once. Asked between steps only. */
  readonly draftModel?: DraftModel | undefined
}

/** What a head holds for likely. */
export interface HeadGuess {
  readonly token: number
  /** Calibrated probability that it is right, if the guesses before it are. */
  readonly survival: number
}

export interface DraftRequest {
  /** Which sequence. What it held at the last call is kept as far as it agrees. */
  readonly slot: number
  /** The whole text so far. */
  readonly tokens: readonly number[]
  /** Index of the reply's first token. */
  readonly prompt: number
  /** Most tokens to guess; 0 only computes the text. */
  readonly count: number
  readonly chooser: TokenChooser
}

/** Guesses for the tokens that follow a text. */
export interface ModelDraft {
  readonly tokens: readonly number[]
  /** Per token: calibrated probability that it is right, given that those before it are. */
  readonly confidences: readonly number[]
  /** Per token: the draft model's own probability of it. */
  readonly raw: readonly number[]
  readonly sampled: boolean
  /** Code of the request's caller threw, which ended the draft. */
  readonly fault?: CallerFault
}

/** A second model, or a part of the first one, that guesses what the first one will say. */
export interface DraftModel {
  readonly name: 'draft' | 'experts' | 'mtp'
  /** Chains end early where they are less likely than `minSurvival` to be right as a whole. */
  propose(requests: readonly DraftRequest[], minSurvival: number): Promise<{ drafts: readonly ModelDraft[] }>
  /**
   * Estimated milliseconds of `propose`. `behind`: for rows of the text that it has not followed yet, which are computed
   * once; `guesses`: for the drafts themselves.
   */
  estimateMs(requests: readonly Pick<DraftRequest, 'slot' | 'tokens' | 'count'>[]): { behind: number; guesses: number }
  /** The first `right` tokens of a draft were confirmed; the next one, where there is one, was not. */
  observe(draft: ModelDraft, right: number): void
}
