import type { Job } from '../core/schedule/scheduler.ts'
import type { Sequence } from '../core/sequences/sequence.ts'
import type { LookPlan } from '../proposers/skim.ts'
import type { SimulatedRequest } from './workload.ts'

/** A request while it is simulated. */
export interface Flight extends Job {
  readonly request: SimulatedRequest
  /** Looks that are still to be taken. */
  looks: readonly LookPlan[]
  look: Look | undefined
  /** The draft that is in the tail: whether a drafter made it, how long it was, how many of it were confirmed so far. */
  draft: { readonly byDrafter: boolean; offered: number; right: number } | undefined
  /** The first token that is shown before it is certain, and since when. */
  shown: { readonly token: number; readonly at: number } | undefined
  /** ms on the virtual clock: anything was shown first; the first word that stayed; the first committed token. */
  provisional: number | undefined
  stable: number
  committed: number
  /** When tokens were last committed, and the gaps between those moments. */
  last: number
  readonly gaps: number[]
  /** Per stage: rows [0, high) were computed and are right; of them `free` ones were computed for somebody else. */
  readonly high: number[]
  readonly free: number[]
}

/** A look ahead that runs on a fork. */
interface Look {
  readonly fork: Sequence
  readonly tokens: number[]
  /** Share of the prompt that was read before it. */
  readonly share: number
}

/**
 * @param mostTokens of the reply, as far as anybody knows
 * @param stages of the machine
 */
export function flightOf(
  request: SimulatedRequest,
  options: { mostTokens: number; stages: number; exits: boolean; looks: readonly LookPlan[] },
): Flight {
  const { prompt, tier, arrival } = request
  return {
    request,
    prompt,
    tier,
    arrival,
    wantsExit: options.exits,
    looks: options.looks,
    maxTokens: options.mostTokens,
    cacheNamespace: '',
    shares: true,
    revocable: false,
    sequence: undefined,
    cached: 0,
    resume: undefined,
    look: undefined,
    draft: undefined,
    shown: undefined,
    provisional: undefined,
    stable: 0,
    committed: 0,
    last: 0,
    gaps: [],
    high: new Array<number>(options.stages).fill(0),
    free: new Array<number>(options.stages).fill(0),
  }
}
