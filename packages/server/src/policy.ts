import { isLossy, type Policy } from '@incipit/engine/api'
import { z } from 'zod'

const share = z.number().min(0).max(1)

/**
 * The policies a client may name. `tolerant` and `confident` are lossy: the text may differ, within a bound, from what the
 * full model says. So they are never a default, only an explicit wish, and the answer to it says `lossy`.
 */
export const policy = z.enum(
  ['committed', 'tolerant', 'confident'],
  'must be "committed", "tolerant" or "confident"; provisional text has an option of its own',
)

export type NamedPolicy = z.infer<typeof policy>

/** `alpha` of the policy `tolerant`. */
export const alpha = share

/** `min_stability`: of text that is shown, and of text that is final under the policy `confident`. */
export const minStability = share

/** The engine's policy where this one was named, and provisional text was asked for or not. */
export function enginePolicy(named: NamedPolicy | null | undefined, shows: boolean): Policy {
  if (named && isLossy(named)) return named
  return shows ? 'provisional' : 'committed'
}

/** What is wrong with a policy beside the wish to see provisional text, or without it. */
export function policyProblem(named: NamedPolicy | null | undefined, shows: boolean, how: string): string | undefined {
  if (named === 'tolerant' && !shows) return `"tolerant" keeps words that were shown: it needs ${how}`
  if (named === 'confident' && shows) return `"confident" shows nothing that is not final: leave ${how} out`
  return undefined
}
