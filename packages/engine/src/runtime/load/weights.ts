import { availableParallelism } from 'node:os'
import type { Log } from '../../api/engine-options.ts'
import type { WeightFormat } from '../../api/weight-formats.ts'
import { derived, modelHash } from '../../gguf/index.ts'
import { requantize } from '../../llama/requantize.ts'

/**
 * A model's file with its weights in another format, made in the cache when it is first wanted.
 * @throws IncipitError `model_unsupported` when it cannot be done, and as `modelHash`
 */
export async function weightsIn(format: WeightFormat, path: string, cacheDir: string, log: Log): Promise<string> {
  const hash = await modelHash(path, cacheDir)
  return derived(cacheDir, hash, `weights-${format}.gguf`, (temporary) => {
    log('info', `bringing the weights into ${format}: once, into the cache`)
    return requantize(path, temporary, format, availableParallelism())
  })
}
