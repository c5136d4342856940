// Several models in their processes, without the HTTP server over them: `@incipit/server/pool`.
export { ModelPool, type PoolOptions } from './models/pool/model-pool.ts'
export type { PooledEmbedder, PooledEngine, PoolModel } from './models/pool/pool-model.ts'
export { cacheSaltOf } from './namespace.ts'
