import type { TierName } from '@incipit/engine/api'

/**
 * How urgent a completion is. What nobody waits for yet comes second, and is not put off behind everything else as a batch job
 * is: once what is shown is accepted, it is what somebody waits for.
 */
export function tierOf(background: boolean): TierName {
  return background ? 'chat' : 'code'
}
