import { stat } from 'node:fs/promises'
import { isForEmbeddings, readGguf } from '@incipit/engine/gguf'
import { SpawnedEmbedder, SpawnedEngine } from '@incipit/engine/spawn'
import { cacheSaltOf, type PoolModel } from '@incipit/server/pool'
import { engineOptions } from '../../flags.ts'
import { defined } from '../../options.ts'
import { type KeptPrefix, pinPrefixes } from '../prefixes.ts'
import type { ModelConfig } from './model-config.ts'

export interface StartedEngine {
  engine: SpawnedEngine
  prefixes: readonly KeptPrefix[]
}

interface PoolModelOptions {
  apiKey: string | undefined
  /** Told of an engine whenever one was started. */
  onStarted: (started: StartedEngine) => void
}

/**
 * A model as the pool has it: in a process of its own for what it says, and in another one for vectors, both over the same
 * pages of its file.
 * @throws IncipitError `model_invalid` for a file that is no model
 */
export async function poolModel(config: ModelConfig, { apiKey, onStarted }: PoolModelOptions): Promise<PoolModel> {
  const { name, aliases, path, draft, heads, pinned, unloadAfter, prefixes, tier, policy, alpha, threads } = config
  const { log, ...options } = engineOptions(config, ['error', 'warn'])
  const constraints = import.meta.resolve('@incipit/constraint/compiler')
  const forEmbeddings = isForEmbeddings(await readGguf(path))
  const files = [path, draft, heads].filter((file) => file !== undefined)
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
  return {
    name,
    aliases,
    pinned,
    weights: sizes.reduce((sum, size) => sum + size, 0),
    idleMs: unloadAfter === 0 ? Number.POSITIVE_INFINITY : unloadAfter * 1000,
    defaults: { tier, policy, alpha },
    ...(!forEmbeddings && {
      async start(onComputing) {
        const engine = await SpawnedEngine.start(path, { ...options, ...defined({ log }), constraints, onComputing })
        try {
          onStarted({ engine, prefixes: await pinPrefixes(engine, prefixes, cacheSaltOf(apiKey)) })
          return engine
        } catch (error) {
          await engine.close()
          throw error
        }
      },
    }),
    startEmbedder: (onComputing) =>
      SpawnedEmbedder.start(path, {
        ...defined({
          // What another model wants for a conversation would be buffers of gigabytes for one text.
          contextLength: forEmbeddings ? config.context : undefined,
          threads: typeof threads === 'object' ? Math.max(...threads) : threads,
          log,
        }),
        onComputing,
      }),
  }
}
