import { type Microbatch, microbatches, oneBatch, type SlotRows } from '../cost/microbatches.ts'
import type { Costs } from './schedule.ts'
import { selectDrafts } from './select-drafts.ts'

type RowCosts = Pick<Costs, 'rows'>

/*
 * When a guess is worth its rows. Pure rules: the engine and the simulator follow the same ones.
 */

// Tokens an exit may run ahead while the prompt is still in the upper stages: their verification is almost free there.
const exitBurst = 4
const minBurstSurvival = 0.3

/** Drafts that somebody has for a sequence. */
export interface Chain {
  readonly slot: number
  /** Per draft the probability that it is right given that those before it are. */
  readonly confidences: readonly number[]
}

/**
 * How many drafts of each chain the next step takes, over all requests. Every row that the step has without drafts is
 * useful work, a prompt's as much as a reply's; a draft is useful with the probability that it survives. So drafts are
 * taken while they raise useful rows per millisecond: freely while weights are what a step waits for, and none where every
 * further row costs as much as the ones before.
 *
 * @param plain the step without drafts
 * @param costs ms of a pass of a stage
 * @param apart every slot has a cache of its own: the step runs in passes
 */
export function draftsOfStep(
  chains: readonly Chain[],
  plain: readonly SlotRows[],
  stages: number,
  costs: (stage: number, pass: Microbatch) => number,
  apart = false,
): number[] {
  const confidences = chains.map((chain) => chain.confidences)
  const whole = (pass: Microbatch) => allStages(stages, (stage) => costs(stage, pass))
  const plainRows = plain.reduce((sum, { rows }) => sum + rows, 0)
  if (!apart) {
    const ms = (_: readonly number[], count: number) => whole(oneBatch(Math.max(1, plainRows + count)))
    return selectDrafts(confidences, Math.max(1, plainRows), ms)
  }
  const rows = new Map(plain.map(({ slot, rows }) => [slot, rows]))
  for (const { slot } of chains) if (!rows.has(slot)) rows.set(slot, 0)
  const slots = [...rows.keys()].sort((a, b) => a - b)
  const ms = (lengths: readonly number[]): number => {
    const drafts = new Map(chains.map(({ slot }, i) => [slot, lengths[i]!]))
    const step = slots.map((slot) => ({ slot, rows: rows.get(slot)! + (drafts.get(slot) ?? 0) }))
    return microbatches(step).reduce((sum, pass) => sum + whole(pass), 0)
  }
  return selectDrafts(confidences, Math.max(1, plainRows), ms)
}

/**
 * Whether an exit's guess is worth its rows while its prompt is in the upper stages. Verification is almost free there,
 * but every guess holds the prompt up for one row of stage 0: others than the first must be likely to survive.
 * @param before stabilities of the guesses that are in the tail already
 */
export function burstPays(before: readonly number[], stability: number): boolean {
  const survival = before.reduce((product, one) => product * one, stability)
  return before.length < exitBurst && survival >= minBurstSurvival
}

/**
 * Whether an exit's guess pays while decoding: when the time of the upper stages that it saves if right outweighs what it
 * costs if wrong, one row of stage 0 and one more row above.
 * @param tail guesses that are in the tail already
 */
export function exitPays(tail: number, stability: number, stages: number, costs: RowCosts): boolean {
  const above = allStages(stages, (stage) => (stage === 0 ? 0 : costs.rows(stage, 1)))
  const more = allStages(stages, (stage) =>
    stage === 0 ? 0 : costs.rows(stage, tail + 2) - costs.rows(stage, tail + 1),
  )
  return stability * (above - more) > (1 - stability) * (costs.rows(0, 1) + more)
}

/**
 * Whether a look ahead is worth its rows: when the part of the prompt that is still to be read takes longer, as often as
 * the look is right, than the look itself. Where a whole prompt costs hardly more than a few rows, none is.
 * @param look how often its first token is right, its rows, and the tokens it decodes
 * @param unread prompt rows that are still to be computed
 * @param delayed requests that wait longer for their first token because of the look, this one among them
 */
export function lookPays(
  look: { readonly survival: number; readonly rows: number; readonly burst: number },
  unread: number,
  delayed: number,
  stages: number,
  costs: RowCosts,
): boolean {
  const saved = throughAll(stages, costs, unread)
  const price = throughAll(stages, costs, look.rows) + (look.burst - 1) * throughAll(stages, costs, 1)
  return look.survival * saved > price * Math.max(1, delayed)
}

/** Milliseconds of this many rows through all stages. */
export function throughAll(stages: number, costs: RowCosts, rows: number): number {
  return allStages(stages, (stage) => costs.rows(stage, rows))
}

/** Milliseconds over all stages. */
function allStages(stages: number, ms: (stage: number) => number): number {
  let sum = 0
  for (let stage = 0; stage < stages; stage++) sum += ms(stage)
  return sum
}
