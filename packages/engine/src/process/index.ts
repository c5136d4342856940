// A model in a process of its own, without native code in this one: `@incipit/engine/spawn`.
export * from '../api/index.ts'
export { type SpawnEmbedderOptions, SpawnedEmbedder } from './spawned-embedder.ts'
export { SpawnedEngine, type SpawnOptions } from './spawned-engine.ts'
