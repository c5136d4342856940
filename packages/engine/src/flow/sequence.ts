/**
 * One flow through the engine: a list of tokens that grows and rolls back, and per stage how many of them that stage has
 * computed. Stage 0 chases the tokens, every later stage chases the one before; there is no prefill phase and no decode
 * phase. Only `core.ts` changes a sequence.
 */
export interface Sequence {
  /** Id in every stage's KV cache. */
  readonly slot: number
  /** Arrival number: earlier ones go first. */
  readonly order: number
  /** `fork`: a look ahead on behalf of `parent`; dropped before its parent. */
  readonly kind: 'reply' | 'fork'
  readonly parent?: Sequence
  /** Number of prompt tokens; 0 while they are open. */
  prompt: number
  /** Prompt, committed reply, then the tail: guesses that may be replaced. */
  readonly tokens: number[]
  /** tokens[0, committed) never change. */
  committed: number
  /** Per stage: KV rows [0, computed) are in its cache and belong to `tokens`. Never rises along the stages. */
  readonly computed: number[]
  /** Stage 0 stops here for now (a fork is wanted at this point); Infinity otherwise. */
  limit: number
  /** Ask stage 0's exit head for a guess when the last token leaves it. */
  exits: boolean
  /** A text that is still being written: it is computed ahead, any of it may change, and no row of it has output. */
  open: boolean
  /** Revocable work: runs only when nothing else can. */
  background: boolean
}

/** Rows [from, to) of one sequence in a step. */
export interface Rows {
  readonly sequence: Sequence
  readonly from: number
  readonly to: number
  /** Rows [output, to) produce logits; `to` when none do. */
  readonly output: number
}

/** What one decode runs: rows of one stage, from any number of sequences. */
export interface Step {
  readonly stage: number
  readonly rows: readonly Rows[]
}

/** Rows that a stage could run now: what its source has and it has not. */
export function available(sequence: Sequence, stage: number): number {
  const before = sequence.computed[stage - 1]
  const source = before === undefined ? Math.min(sequence.tokens.length, sequence.limit) : before
  return Math.max(0, source - sequence.computed[stage]!)
}

/** The lowest stage with rows to run: work goes as deep as it can before it goes up, so that exits speak early. */
export function runnableStage(sequence: Sequence): number | undefined {
  for (let stage = 0; stage < sequence.computed.length; stage++) {
    if (available(sequence, stage) > 0) return stage
  }
  return undefined
}

/** Number of tokens that may still be replaced. */
export function tailLength(sequence: Sequence): number {
  return sequence.tokens.length - sequence.committed
}

/** Revocable work, or a look of it, which is no more urgent than the work itself. */
export function inBackground(sequence: Sequence): boolean {
  return (sequence.parent ?? sequence).background
}

/** True while the prompt has not left the last stage. */
export function inPrompt(sequence: Sequence): boolean {
  return sequence.computed.at(-1)! < sequence.prompt
}

/** Number of rows of a step. */
export function rowsOf(step: Step): number {
  return step.rows.reduce((sum, { from, to }) => sum + to - from, 0)
}
