/**
 * The OpenAI-compatible HTTP server over an incipit engine.
 *
 * @module
 */

export { type ServerErrorCode, serverErrorCodes } from './errors.ts'
export type { ModelCard, ModelDirectory, ModelInUse } from './models/model-directory.ts'
export { ModelPool, type PoolOptions } from './models/pool/model-pool.ts'
export type { PooledEngine, PoolModel } from './models/pool/pooled-model.ts'
export { cacheSaltOf } from './namespace.ts'
export type { RealtimeOptions } from './realtime/connection.ts'
export type { ServedEngine, ServedInput } from './served-engine.ts'
export { createServer, type ServerOptions } from './server.ts'
