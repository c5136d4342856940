/**
 * What may be shown. `committed`: only text the full model decided. `provisional`: additionally a revisable tail.
 * Committed text is the same under both.
 *
 * Two more are lossy, bounded, and only for those who ask. `tolerant`: as `provisional`, but a shown token stays when the
 * full model gives it at least `alpha` times the probability of its best one ("typical acceptance", Cai et al. 2024,
 * Medusa, section 3.3.3). `confident`: an exit that is sure enough (`minStability`) is final; the upper layers compute
 * its rows later, together with those that follow.
 */
export const policies = ['committed', 'provisional', 'tolerant', 'confident'] as const

export type Policy = (typeof policies)[number]

/** Whether guesses are shown. */
export function showsGuesses(policy: Policy): boolean {
  return policy === 'provisional' || policy === 'tolerant'
}

/** Whether the text may differ from the full model's. */
export function isLossy(policy: Policy | undefined): boolean {
  return policy === 'tolerant' || policy === 'confident'
}
