import { admitDrafts } from './cost.ts'
import type { Costs } from './schedule.ts'

type RowCosts = Pick<Costs, 'rows'>

/*
 * When a guess is worth its rows. Pure rules: the engine and the simulator follow the same ones.
 */

// Tokens an exit may run ahead while the prompt is still in the upper stages: their verification is almost free there.
const exitBurst = 4
const leastBurstSurvival = 0.3

/**
 * How many drafts of each chain the next step takes, over all requests. Every row that the step has without drafts is
 * useful work, a prompt's as much as a reply's; a draft is useful with the probability that it survives. So drafts are
 * taken while they raise useful rows per millisecond: freely while weights are what a step waits for, and none where every
 * further row costs as much as the ones before.
 *
 * @param chains per draft the probability that it is right given that those before it are
 * @param plainRows rows of the step without drafts
 * @param apart further rows than one per sequence run in a pass of their own: every slot has a cache of its own
 */
export function draftsOfStep(
  chains: readonly (readonly number[])[],
  plainRows: number,
  stages: number,
  costs: RowCosts,
  apart = false,
): number[] {
  const rows = Math.max(1, plainRows)
  const passes = (count: number) => (apart && rows > 1 && count > rows ? [rows, count - rows] : [count])
  return admitDrafts(chains, rows, rows, (count) =>
    allStages(stages, (stage) => passes(count).reduce((ms, pass) => ms + costs.rows(stage, pass), 0)),
  )
}

/**
 * Whether an exit's guess is worth its rows while its prompt is in the upper stages. Verification is almost free there,
 * but every guess holds the prompt up for one row of stage 0: others than the first must be likely to survive.
 * @param before stabilities of the guesses that are in the tail already
 */
export function burstPays(before: readonly number[], stability: number): boolean {
  const survival = before.reduce((product, one) => product * one, stability)
  return before.length < exitBurst && survival >= leastBurstSurvival
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
 * @param waiting requests that wait for their first token, this one among them: each waits for the look
 */
export function lookPays(
  look: { readonly survival: number; readonly rows: number; readonly burst: number },
  unread: number,
  waiting: number,
  stages: number,
  costs: RowCosts,
): boolean {
  const saved = throughAll(stages, costs, unread)
  const price = throughAll(stages, costs, look.rows) + (look.burst - 1) * throughAll(stages, costs, 1)
  return look.survival * saved > price * Math.max(1, waiting)
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
