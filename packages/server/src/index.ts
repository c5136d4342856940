/**
 * The OpenAI-compatible HTTP server over an incipit engine.
 *
 * @module
 */

export type { ServedEngine, ServedInput } from './choices.ts'
export { type ServerErrorCode, serverErrorCodes } from './errors.ts'
export { cacheSaltOf } from './namespace.ts'
export type { RealtimeOptions } from './realtime/connection.ts'
export { createServer, type ServerOptions } from './server.ts'
