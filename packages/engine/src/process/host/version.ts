import { IncipitError } from '../../api/errors.ts'
import { protocolVersion } from '../messages.ts'

/** @throws IncipitError `invalid_request` for another version of the protocol than this process speaks */
export function requireVersion(version: number): void {
  if (version === protocolVersion) return
  const ours = `the engine's process speaks version ${protocolVersion}`
  throw new IncipitError('invalid_request', `version ${version} of the protocol is asked for; ${ours}`)
}
