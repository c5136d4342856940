import type { Tier } from '../../api/tiers.ts'
import type { SlotRows } from '../cost/microbatches.ts'
import type { Checkpoint } from '../kv/checkpoint.ts'

/**
 * One flow through the engine: a list of tokens that grows and rolls back, and per stage how many of them that stage has
 * computed. Stage 0 chases the tokens, every later stage chases the one before; there is no prefill phase and no decode
 * phase. Only the `SequenceTable` changes a sequence.
 */
export interface Sequence {
  /** Id in every stage's KV cache. Changes only when an alternative wins and its rows become its parent's. */
  slot: number
  /** Arrival number: earlier ones go first where nothing else decides. */
  readonly order: number
  /**
   * `lookahead`: on behalf of `parent`, it jumps over a part of its prompt. `alternative`: another possible continuation of
   * `parent` from token `at` on. Both are dropped before their parent.
   */
  readonly kind: 'reply' | 'lookahead' | 'alternative'
  readonly parent?: Sequence
  /** Rows before this one are its parent's; an alternative waits until the parent has computed them. */
  readonly forkPoint: number
  /** Number of prompt tokens; 0 while they are open. */
  prompt: number
  /** Tokens it began with: the prompt, and after a preemption the reply so far. Rows before this run in items. */
  prefillLength: number
  /** Prompt, committed reply, then the tail: guesses that may be replaced. */
  readonly tokens: number[]
  /** tokens[0, committed) never change. */
  committed: number
  /** Per stage: KV rows [0, computed) are in its cache and belong to `tokens`. Never rises along the stages. */
  readonly computed: number[]
  /** Stage 0 stops here for now (a lookahead is wanted at this point); Infinity otherwise. */
  pausedAt: number
  /** Where the sequence can be gone back to, in ascending order, if its memory cannot drop single rows. */
  checkpoints: readonly Checkpoint[]
  /** Where it was before its tail, if only a checkpoint takes a wrong guess back. The next draft overwrites it. */
  beforeTail: Checkpoint | undefined
  /** Stage 0 stops at each of these for a moment, and a checkpoint is taken. Ascending. */
  checkpointStops: readonly number[]
  /** Where its memory keeps snapshots: the least length that the last step left it able to go back to; else Infinity. */
  rewindsTo: number
  /** It went back to one, and no step has run since: until then nobody else can go on from it. */
  rewound: boolean
  /** Rows before this one came back as a copy that can only be gone on from at its end: they cannot be given up singly. */
  floor: number
  /** Ask stage 0's exit head for a guess when the last token leaves it. */
  wantsExit: boolean
  /** A text that is still being written: it is computed ahead, any of it may change, and no row of it has output. */
  isInput: boolean
  /** Rows of the prompt from this one on have output, because its tokens' probabilities are wanted; else Infinity. */
  readonly scoresFrom: number
  /** Revocable work: runs only when nothing else can, or for nearly nothing beside other work. */
  background: boolean
  readonly tier: Tier
  /** When its request came, ms on the loop's clock. */
  readonly arrival: number
  /** When rows of it last left the last stage, its prompt or its reply, ms; before that, when its request came. */
  lastOutputAt: number
}

/** Rows [from, to) of one sequence in a step. */
export interface Rows {
  readonly sequence: Sequence
  readonly slot: number
  /** Alternatives that share these rows up to `end`: each of them is one cell with several sequence ids. */
  readonly shared: readonly { readonly slot: number; readonly end: number }[]
  readonly from: number
  readonly to: number
  /** Rows [output, to) produce logits; `to` when none do. */
  readonly output: number
  /** Rows [from, valid) still belong to the tokens: a rollback while they run lowers it. */
  valid: number
}

/** What one decode runs: rows of one stage, from any number of sequences. */
export interface Step {
  readonly stage: number
  readonly rows: readonly Rows[]
}

/** Rows that a stage could run now: what its source has and it has not. */
export function available(sequence: Sequence, stage: number): number {
  const computed = firstRow(sequence, stage)
  const before = sequence.computed[stage - 1]
  const { tokens, pausedAt, checkpointStops } = sequence
  const stop = checkpointStops[0] ?? Number.POSITIVE_INFINITY
  const source = before === undefined ? Math.min(tokens.length, pausedAt, stop) : before
  return Math.max(0, source - computed)
}

/** The next row a stage would run: an alternative begins where it leaves its parent. */
export function firstRow(sequence: Sequence, stage: number): number {
  return Math.max(sequence.computed[stage]!, sequence.kind === 'alternative' ? sequence.forkPoint : 0)
}

/** Number of tokens that may still be replaced. */
export function tailLength(sequence: Sequence): number {
  return sequence.tokens.length - sequence.committed
}

/** Revocable work, or a lookahead of it, which is no more urgent than the work itself. */
export function inBackground(sequence: Sequence): boolean {
  return (sequence.parent ?? sequence).background
}

/** True while what it began with has not left the last stage. */
export function inPrompt(sequence: Sequence): boolean {
  return sequence.computed.at(-1)! < sequence.prefillLength
}

/** Number of rows of a step. */
export function rowsOf(step: Step): number {
  return step.rows.reduce((sum, { from, to }) => sum + to - from, 0)
}

/** Rows of a step by slot. */
export function slotRowsOf(step: Step): SlotRows[] {
  return step.rows.map(({ slot, from, to }) => ({ slot, rows: to - from }))
}

/** Positions that a row of a step looks back on, on average. */
export function meanDepth(step: Step): number {
  let sum = 0
  for (const { from, to } of step.rows) sum += ((to - from) * (from + to)) / 2
  return sum / rowsOf(step)
}
