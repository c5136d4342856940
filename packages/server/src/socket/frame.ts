import { ServerError } from '../errors.ts'

/**
 * A frame's JSON value.
 *
 * @param data undefined for a binary frame
 * @throws ServerError `invalid_json`, and `unsupported` for a binary frame
 */
export function parseFrame(data: string | undefined): unknown {
  if (data === undefined) {
    throw new ServerError('unsupported', 'binary frames are not supported: an event is JSON in a text frame')
  }
  try {
    return JSON.parse(data)
  } catch (cause) {
    throw new ServerError('invalid_json', `the event is not valid JSON: ${(cause as Error).message}`, { cause })
  }
}
