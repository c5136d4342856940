/**
 * The OpenAI-compatible HTTP server over an incipit engine.
 *
 * @module
 */

export { type ServerErrorCode, serverErrorCodes } from './errors.ts'
export type { EmbedderInUse, ModelCard, ModelDirectory, ModelInUse } from './models/model-directory.ts'
export { ModelPool, type PoolOptions } from './models/pool/model-pool.ts'
export type { PooledEmbedder, PooledEngine, PoolModel } from './models/pool/pool-model.ts'
export { cacheSaltOf } from './namespace.ts'
export type { ServedEmbedder } from './served-embedder.ts'
export type { ServedEngine, ServedInput } from './served-engine.ts'
export { createServer, type ServerOptions } from './server.ts'
export type { SocketBounds } from './socket/bounds.ts'
