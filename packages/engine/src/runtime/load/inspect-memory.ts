import type { ModelMemory } from '../../api/model-info.ts'
import { Model } from '../../llama/model.ts'

/**
 * How a model remembers, as its file and llama.cpp say; whether a recurrent one keeps snapshots shows when it runs.
 * @throws IncipitError `model_unsupported` for what is no decoder, and as `Engine.load` for a broken file
 */
export async function inspectMemory(path: string): Promise<Pick<ModelMemory, 'kind' | 'window'>> {
  const { recurrent, window } = await Model.memoryOf(path)
  return { kind: recurrent ? 'recurrent' : window > 0 ? 'window' : 'attention', window }
}
