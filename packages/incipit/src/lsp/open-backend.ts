import type { SpawnOptions } from '@incipit/engine/spawn'
import { type Backend, EngineBackend, type Settings } from '@incipit/lsp'
import { codeModel } from './code-models.ts'

/**
 * Where completions come from, for an editor's settings.
 * @throws IncipitError when the model cannot be found or loaded
 */
export async function openBackend(settings: Settings, options: SpawnOptions): Promise<Backend> {
  const { SpawnedEngine } = await import('@incipit/engine/spawn')
  const path = await codeModel(settings.model)
  const engine = await SpawnedEngine.start(path, {
    ...options,
    parallel: 4,
    ...(settings.threads > 0 && { threads: settings.threads }),
    contextLength: settings.contextTokens,
  })
  return new EngineBackend(engine)
}
