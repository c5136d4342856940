import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { ServerError } from './errors.ts'

/**
 * A check for `authorization: Bearer <key>`, or Anthropic's and llama-server's `x-api-key: <key>`.
 *
 * @returns a function that throws ServerError `invalid_api_key`
 */
export function bearer(apiKey: string): (request: FastifyRequest) => void {
  const expected = digest(apiKey)
  return (request) => {
    const { authorization = '', 'x-api-key': bare } = request.headers
    const key = /^bearer +(.*)$/i.exec(authorization)?.[1] ?? (typeof bare === 'string' ? bare : '')
    // Digests have one length, which the comparison in constant time needs and the keys must not reveal.
    if (timingSafeEqual(digest(key), expected)) return
    throw new ServerError(
      'invalid_api_key',
      key === '' ? 'this server wants an API key: authorization: Bearer <key>' : 'the API key is wrong',
    )
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
