import { type Costs, throughAll } from './costs.ts'
import { type Microbatch, microbatches, oneBatch, type SlotRows } from './microbatches.ts'
import { selectDrafts } from './select-drafts.ts'

/** What steps cost, as far as guesses are weighed with it. */
export interface GuessCosts extends Pick<Costs, 'rows'> {
  /** Milliseconds of one microbatch of a stage whose rows look back on `depth` positions. */
  microbatch(stage: number, microbatch: Microbatch, depth: number): number
}

// Tokens an exit may run ahead while the prompt is still in the upper stages: their verification is almost free there.
const exitBurst = 4
const minBurstSurvival = 0.3

/** Drafts that somebody has for a sequence. */
export interface Chain {
  readonly slot: number
  /** Per draft the probability that it is right given that those before it are. */
  readonly confidences: readonly number[]
}

/** A lookahead: how often its first token is right, its rows, and the tokens it decodes. */
export interface LookaheadCost {
  readonly survival: number
  readonly rows: number
  readonly burst: number
}

/** When a guess is worth its rows: what it saves if it is right against what it costs, in milliseconds of this machine. */
export class SpeculationGain {
  readonly #stages: number
  readonly #costs: GuessCosts
  readonly #separateCaches: boolean
  readonly #checkpointMs: () => number

  /**
   * @param options.separateCaches every slot has a cache of its own: a step runs in microbatches
   * @param options.checkpointMs of the checkpoint that a draft needs to be taken back; 0 where it needs none (default)
   */
  constructor(
    stages: number,
    costs: GuessCosts,
    options: { separateCaches: boolean; checkpointMs?: (() => number) | undefined },
  ) {
    this.#stages = stages
    this.#costs = costs
    this.#separateCaches = options.separateCaches
    this.#checkpointMs = options.checkpointMs ?? (() => 0)
  }

  /**
   * How many drafts of each chain the next step takes, over all requests. Every row that the step has without drafts is
   * useful work, a prompt's as much as a reply's; a draft is useful with the probability that it survives. So drafts are
   * taken while they raise useful rows per millisecond: freely while weights are what a step waits for, and none where
   * every further row costs as much as the ones before.
   *
   * @param plain the step without drafts
   * @param depth positions that the drafts look back on
   */
  draftsOfStep(chains: readonly Chain[], plain: readonly SlotRows[], depth: number): number[] {
    const confidences = chains.map((chain) => chain.confidences)
    const whole = (microbatch: Microbatch) => this.#sum((stage) => this.#costs.microbatch(stage, microbatch, depth))
    const plainRows = plain.reduce((sum, { rows }) => sum + rows, 0)
    const takingBack = (lengths: readonly number[]) =>
      lengths.reduce((sum, length, i) => sum + this.#takingBackMs(confidences[i]!.slice(0, length)), 0)
    if (!this.#separateCaches) {
      const ms = (lengths: readonly number[], count: number) =>
        whole(oneBatch(Math.max(1, plainRows + count))) + takingBack(lengths)
      return selectDrafts(confidences, Math.max(1, plainRows), ms)
    }
    const rows = new Map(plain.map(({ slot, rows }) => [slot, rows]))
    for (const { slot } of chains) if (!rows.has(slot)) rows.set(slot, 0)
    const slots = [...rows.keys()].sort((a, b) => a - b)
    const ms = (lengths: readonly number[]): number => {
      const drafts = new Map(chains.map(({ slot }, i) => [slot, lengths[i]!]))
      const step = slots.map((slot) => ({ slot, rows: rows.get(slot)! + (drafts.get(slot) ?? 0) }))
      return microbatches(step).reduce((sum, microbatch) => sum + whole(microbatch), takingBack(lengths))
    }
    return selectDrafts(confidences, Math.max(1, plainRows), ms)
  }

  /** A checkpoint before a draft, and as often as one of it is wrong going back there, where those before it run again. */
  #takingBackMs(confidences: readonly number[]): number {
    const checkpoint = this.#checkpointMs()
    if (confidences.length === 0 || checkpoint === 0) return 0
    let survival = 1
    let ms = checkpoint
    for (const [right, confidence] of confidences.entries()) {
      ms += survival * (1 - confidence) * (checkpoint + this.stepMs(right + 2) - this.stepMs(1))
      survival *= confidence
    }
    return ms
  }

  /**
   * Whether an exit's guess is worth its rows while its prompt is in the upper stages. Verification is almost free there,
   * but every guess holds the prompt up for one row of stage 0: others than the first must be likely to survive.
   * @param before stabilities of the guesses that are in the tail already
   */
  burstPays(before: readonly number[], stability: number): boolean {
    const survival = before.reduce((product, one) => product * one, stability)
    return before.length < exitBurst && survival >= minBurstSurvival
  }

  /**
   * Whether an exit's guess pays while decoding: when the time of the upper stages that it saves if right outweighs what
   * it costs if wrong, one row of stage 0 and one more row above.
   * @param tail guesses that are in the tail already
   * @param depth positions that the guess looks back on
   */
  exitPays(tail: number, stability: number, depth?: number): boolean {
    const ms = (stage: number, rows: number) => this.#costs.rows(stage, rows, depth)
    const above = this.#sum((stage) => (stage === 0 ? 0 : ms(stage, 1)))
    const more = this.#sum((stage) => (stage === 0 ? 0 : ms(stage, tail + 2) - ms(stage, tail + 1)))
    return stability * (above - more) > (1 - stability) * (ms(0, 1) + more)
  }

  /**
   * Whether a lookahead is worth its rows: when the part of the prompt that is still to be read takes longer, as often as
   * the lookahead is right, than the lookahead itself. Where a whole prompt costs hardly more than a few rows, none is.
   * @param unread prompt rows that are still to be computed
   * @param delayed requests that wait longer for their first token because of it, this one among them
   */
  lookaheadPays({ survival, rows, burst }: LookaheadCost, unread: number, delayed: number): boolean {
    return survival * this.stepMs(unread) > this.#lookaheadMs(rows, burst) * Math.max(1, delayed)
  }

  #lookaheadMs(rows: number, burst: number): number {
    return this.stepMs(rows) + (burst - 1) * this.stepMs(1)
  }

  /**
   * Whether another first token is worth a continuation of its own: a step saved when it is right, a row more in every
   * stage when it is wrong.
   */
  alternativePays(probability: number): boolean {
    const saved = this.stepMs(1)
    return probability * saved > this.stepMs(2) - saved
  }

  /** Milliseconds of so many rows through all stages. */
  stepMs(rows: number): number {
    return throughAll(this.#stages, this.#costs, rows)
  }

  #sum(ms: (stage: number) => number): number {
    let sum = 0
    for (let stage = 0; stage < this.#stages; stage++) sum += ms(stage)
    return sum
  }
}
