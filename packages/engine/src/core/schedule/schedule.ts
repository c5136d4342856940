import type { Costs } from '../cost/costs.ts'
import { type Microbatch, microbatches, oneBatch } from '../cost/microbatches.ts'
import { firstRow, type Rows, type Sequence, type Step } from '../sequences/sequence.ts'
import { type PendingWork, pendingWork, priority, type WorkItem } from './priority.ts'

export interface Limits {
  /** Most rows of one step. */
  batch: number
  /** Longest step of prompt rows beside other requests, ms: what a new arrival waits for at worst. */
  stepMs: number
  /** Most rows of a step with rows of running replies and of prompts. Default: `batch`. */
  mixed?: number
  /**
   * Rows that attention computes together, so that a part of them costs as much as all: a prompt is cut into multiples of
   * this, whatever the bounds say. Default 1.
   */
  tile?: number
  /**
   * Each sequence has a cache of its own: rows of several run in microbatches of their own, so that nothing is nearly
   * free beside a prompt, and nothing is added to its step. (Closed loop of 16 streams on two cores: TTFT p95 0.47 times the peer's
   * instead of 0.8, more tokens a second.) Default false.
   */
  separateCaches?: boolean
  /** Most rows of a step of background work. Default: `batch`. */
  background?: number
  /** Most rows of one step that have output. Default: `batch`. */
  outputs?: number
  /** Stage 0 has an exit head: the last row of a sequence may ask it for a guess. */
  exit?: boolean
}

interface Options {
  /** Stages of the device. */
  readonly stages: readonly number[]
  readonly limits: Limits
  readonly costs: Costs
  readonly now: number
}

// Where running replies are waited for in every step, a prompt still gets so many rows, even if that breaks their bound:
// it must come to an end.
const minPromptRows = 8
// Time that prompts get at least, as a multiple of what the replies' own steps take.
const promptShare = 2
// A step has one purpose. Other rows are added to it as long as it takes at most this much longer with them.
const piggybackShare = 0.1

/**
 * Which rows run next on an idle device that holds these stages. Pure: the same state gives the same step.
 *
 * A step is for one thing, the most urgent: the first guess of a lookahead; else the prompt that is due first, as long as every
 * running reply can still have its next token in time afterwards; else the next tokens of those replies; else, when no
 * prompt waits, all replies with their drafts, and batch jobs within the strictest bound of the replies. Everything else
 * that waits for the same stage is added (piggybacks) where it costs nearly nothing. So where further rows are free, as on a GPU,
 * all of it runs together, and where every row costs as much as the one before, each prompt is done as early as can be.
 *
 * Background work runs when nothing else can, or piggybacks; the few rows of a keystroke go before the many of a pasted
 * document.
 */
export function schedule(sequences: Iterable<Sequence>, options: Options): Step | undefined {
  const found = pendingWork(sequences, options)
  const [first] = found.items
  if (first === undefined) return undefined
  const prompt = found.items.find((item) => item.priority === priority.prompt)
  if (first.priority === priority.lookahead) {
    const step = new StepBuilder(first.stage, found, options)
    step.add([priority.lookahead])
    step.piggyback([priority.reply, priority.prompt, priority.draft, priority.batch, priority.background])
    return step.done(sequences)
  }
  if (first.priority === priority.background) {
    const step = new StepBuilder(first.stage, found, options)
    step.add([priority.background], options.limits.background)
    return step.done(sequences)
  }
  return prompt ? besidePrompts(sequences, prompt, found, options) : withoutPrompts(sequences, first, found, options)
}

/** Prompts wait: the first of them has the step, unless the replies cannot wait any longer. */
function besidePrompts(sequences: Iterable<Sequence>, prompt: WorkItem, found: PendingWork, options: Options): Step {
  const { limits, costs, now } = options
  const reply = found.items.find((item) => item.priority === priority.reply)
  let repliesMs = 0
  for (const { rows } of repliesPasses(found, options)) {
    for (let stage = 0; stage < prompt.sequence.computed.length; stage++) repliesMs += costs.rows(stage, rows)
  }
  // A bound that the replies' own steps nearly use up cannot be kept: then prompts get a fair share of the time.
  const more = Math.max(0, (1 + promptShare) * repliesMs - found.patience)
  const slack = found.deadline + more - now - repliesMs
  const leastRows = Math.max(minPromptRows, limits.tile ?? 1)
  const least = (stage: number) => costs.rows(stage, leastRows)
  if (reply === undefined || slack >= least(prompt.stage)) {
    const step = new StepBuilder(prompt.stage, found, options)
    const longest = isAlone(prompt, found) ? slack : Math.min(limits.stepMs, slack)
    const most = costs.within(prompt.stage, longest, firstRow(prompt.sequence, prompt.stage))
    step.addItem(prompt, Math.max(most, leastRows))
    step.piggyback([priority.reply, priority.prompt, priority.draft, priority.batch, priority.background], prompt)
    return step.done(sequences)
  }
  const step = new StepBuilder(reply.stage, found, options)
  step.add([priority.reply])
  // Where what is left of it is too short for any, they would wait in no step at all.
  const later = found.patience + more - repliesMs
  const waiter = found.items.find((item) => item.priority === priority.prompt && item.stage === reply.stage)
  if (waiter && later < least(reply.stage)) step.addItem(waiter, leastRows, limits.batch)
  step.piggyback([priority.prompt, priority.batch, priority.background])
  return step.done(sequences)
}

/** The microbatches in which the replies' next tokens run. */
function repliesPasses({ items, replies }: PendingWork, { limits }: Options): Microbatch[] {
  if (!limits.separateCaches) return replies > 0 ? [oneBatch(replies)] : []
  const slots = new Set(items.filter((item) => item.priority === priority.reply).map(({ sequence }) => sequence.slot))
  return microbatches([...slots].sort((a, b) => a - b).map((slot) => ({ slot, rows: 1 })))
}

/**
 * Whether nobody else wants anything: then a prompt is not cut to keep steps short. Whole batches are computed faster, by
 * a tenth on a CPU, and a single user has nobody to wait for.
 */
function isAlone({ sequence }: WorkItem, { items }: PendingWork): boolean {
  return items.every(
    (item) => (item.sequence.parent ?? item.sequence) === sequence || item.priority === priority.background,
  )
}

/** No prompt waits: all replies and their drafts, batch jobs in what their bounds leave. */
function withoutPrompts(sequences: Iterable<Sequence>, first: WorkItem, found: PendingWork, options: Options): Step {
  const { limits, costs } = options
  const step = new StepBuilder(first.stage, found, options)
  step.add([priority.reply, priority.draft])
  step.add([priority.batch], costs.within(first.stage, Math.min(found.itlMs, limits.stepMs)))
  step.piggyback([priority.background])
  return step.done(sequences)
}

/** A step of one stage that is being filled. */
class StepBuilder {
  readonly #stage: number
  readonly #items: readonly WorkItem[]
  readonly #limits: Limits
  readonly #costs: Costs
  readonly #counts = new Map<Sequence, number>()
  readonly #added = new Map<WorkItem, number>()
  #rows = 0
  #replies = 0
  #prompts = 0

  constructor(stage: number, { items }: PendingWork, { limits, costs }: Options) {
    this.#stage = stage
    this.#items = items.filter((item) => item.stage === stage)
    this.#limits = limits
    this.#costs = costs
  }

  /**
   * Adds a item, or as much of it as there is room for; again to add more of it.
   * @param rows most rows of it to add
   * @param mixed most rows of the step if rows of replies and of prompts are in it
   */
  addItem(item: WorkItem, rows: number, mixed = this.#limits.mixed ?? this.#limits.batch): void {
    const { sequence } = item
    const replies =
      item.priority === priority.reply || (item.priority === priority.draft && sequence.kind !== 'alternative')
    const prompts = item.priority === priority.prompt || item.priority >= priority.batch
    const mixes = (replies && this.#prompts > 0) || (prompts && this.#replies > 0)
    const most = Math.min(this.#limits.batch, mixes ? mixed : this.#limits.batch) - this.#rows
    const added = this.#added.get(item) ?? 0
    const wanted = Math.min(item.rows, added + rows, added + most, added + this.#roomForOutputs(sequence))
    const count = this.#whole(item, wanted) - added
    if (count <= 0 || !rootsRun(sequence, this.#stage, this.#counts)) return
    this.#added.set(item, added + count)
    this.#counts.set(sequence, (this.#counts.get(sequence) ?? 0) + count)
    this.#rows += count
    if (replies) this.#replies += count
    if (prompts) this.#prompts += count
  }

  /** How many further rows of a sequence may run: of a prompt that is scored all have output, of others the last ones. */
  #roomForOutputs(sequence: Sequence): number {
    const { outputs } = this.#limits
    if (outputs === undefined) return Number.POSITIVE_INFINITY
    const next = firstRow(sequence, this.#stage) + (this.#counts.get(sequence) ?? 0)
    let left = outputs
    for (const [other, count] of this.#counts) {
      const from = firstRow(other, this.#stage)
      left -= Math.min(count, Math.max(0, from + count - firstDecided(other, this.#stage)))
    }
    return Math.max(0, firstDecided(sequence, this.#stage) - next) + left
  }

  /**
   * Of a part of a prompt as many rows as whole tiles have; of guesses behind its end those that need no further tile: in
   * the next step they cost next to nothing.
   */
  #whole(item: WorkItem, count: number): number {
    const { sequence, stage, rows } = item
    const { tile = 1 } = this.#limits
    if (sequence.kind === 'alternative' && this.#prompts > 0 && tile > 1)
      return Math.min(count, (this.#added.get(item) ?? 0) + roundUp(this.#rows, tile) - this.#rows)
    const certain = sequence.prefillLength - firstRow(sequence, stage)
    if (sequence.kind !== 'reply' || certain <= 0) return count
    if (count >= certain && tile > 1) return Math.min(count, roundUp(certain, tile))
    const whole = count - (count % tile)
    // A step that would be empty takes less.
    return count < rows && (whole > 0 || this.#rows > 0) ? whole : count
  }

  /**
   * Adds what is of these levels.
   * @param most rows of the step
   */
  add(levels: readonly number[], most = this.#limits.batch, except?: WorkItem): void {
    for (const item of this.#items) {
      if (levels.includes(item.priority) && item !== except) this.addItem(item, most - this.#rows)
    }
  }

  /** Adds what is of these levels while it costs nearly nothing. */
  piggyback(levels: readonly number[], except?: WorkItem): void {
    if (this.#limits.separateCaches) return
    const ms = this.#costs.rows(this.#stage, this.#rows)
    this.add(levels, this.#costs.within(this.#stage, (1 + piggybackShare) * ms), except)
  }

  done(sequences: Iterable<Sequence>): Step {
    const stage = this.#stage
    return { stage, rows: rowsOfCounts(this.#counts, stage, this.#limits, sequences) }
  }
}

function roundUp(rows: number, tile: number): number {
  return Math.ceil(rows / tile) * tile
}

/** Whether the rows an alternative shares with its parent are computed, or in this step. */
function rootsRun(
  { kind, parent, forkPoint: at }: Sequence,
  stage: number,
  counts: ReadonlyMap<Sequence, number>,
): boolean {
  return kind !== 'alternative' || parent!.computed[stage]! + (counts.get(parent!) ?? 0) >= at
}

function rowsOfCounts(
  counts: ReadonlyMap<Sequence, number>,
  stage: number,
  limits: Limits,
  sequences: Iterable<Sequence>,
): Rows[] {
  const rows: Rows[] = []
  for (const [sequence, count] of counts) {
    const from = firstRow(sequence, stage)
    const to = from + count
    const shared: { slot: number; end: number }[] = []
    for (const other of sequences) {
      if (other.kind !== 'alternative' || other.parent !== sequence || from >= other.forkPoint) continue
      shared.push({ slot: other.slot, end: Math.min(to, other.forkPoint) })
    }
    rows.push({
      sequence,
      slot: sequence.slot,
      shared,
      from,
      to,
      output: firstOutput(sequence, stage, from, to, limits),
      valid: to,
    })
  }
  // Neighbouring slots together; an alternative after the sequence whose rows it shares.
  const root = ({ sequence }: Rows) => (sequence.kind === 'alternative' ? sequence.parent! : sequence).slot
  rows.sort(
    (a, b) =>
      root(a) - root(b) || Number(a.sequence.kind === 'alternative') - Number(b.sequence.kind === 'alternative'),
  )
  return limits.separateCaches ? tilesApart(rows, limits.tile ?? 1) : rows
}

/**
 * Rows in an order in which whole tiles stay whole. llama.cpp goes through a batch and takes rows of neighbouring slots into
 * one pass as long as slots ascend: of a prompt's 64 rows between replies it would take one with them, and the other 63 take
 * a third longer than the 64. So what is in higher slots goes before such a part of a prompt, and what is in lower ones
 * behind it.
 */
function tilesApart(rows: readonly Rows[], tile: number): Rows[] {
  const isWhole = ({ from, to }: Rows) => tile > 1 && to - from >= tile
  const apart: Rows[][] = []
  for (const [i, one] of rows.entries()) {
    const before = rows[i - 1]
    const joins = before && (one.sequence.kind === 'alternative' || (!isWhole(one) && !isWhole(before)))
    if (joins) apart.at(-1)!.push(one)
    else apart.push([one])
  }
  return apart.reverse().flat()
}

/** The first row of a sequence that the last stage decides or scores a token after. */
function firstDecided({ isInput, committed, scoresFrom, computed }: Sequence, stage: number): number {
  if (isInput || stage < computed.length - 1) return Number.POSITIVE_INFINITY
  return Math.min(committed - 1, scoresFrom)
}

/**
 * The last stage decides every token that is not committed: rows from committed - 1 on have output, and those of a prompt
 * that is scored. An exit head guesses only after the last token.
 */
function firstOutput(sequence: Sequence, stage: number, from: number, to: number, limits: Limits): number {
  if (stage === sequence.computed.length - 1) return Math.min(to, Math.max(from, firstDecided(sequence, stage)))
  if (sequence.isInput) return to
  const atEnd = to === sequence.tokens.length && to >= sequence.committed
  return limits.exit && stage === 0 && sequence.wantsExit && atEnd ? to - 1 : to
}
