import { IncipitError, type ModelInfo, type Policy } from '@incipit/engine/api'

/**
 * Refuses what the model cannot do, for a client that only sets what its later requests will be.
 *
 * @throws IncipitError `invalid_request`
 */
export function requireExit(named: Policy, { proposers }: Pick<ModelInfo, 'proposers'>, param: string): void {
  if (named !== 'confident' || proposers.exit.available) return
  throw new IncipitError(
    'invalid_request',
    `policy confident needs an exit: ${proposers.exit.note ?? 'there is none'}`,
    {
      param,
    },
  )
}
