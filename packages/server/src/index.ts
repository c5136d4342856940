/**
 * The OpenAI-compatible HTTP server over an incipit engine.
 *
 * @module
 */

export { type ServerErrorCode, serverErrorCodes } from './errors.ts'
export type { EmbedderInUse, ModelCard, ModelDirectory, ModelGuest, ModelInUse } from './models/model-directory.ts'
export * from './pool.ts'
export type { ServedEmbedder } from './served-embedder.ts'
export type { ServedEngine, ServedInput } from './served-engine.ts'
export { createServer, type ServerOptions } from './server.ts'
export type { SocketBounds } from './socket/bounds.ts'
