import { createHash } from 'node:crypto'
import type { EngineOptions, LoraOptions } from '../../api/engine-options.ts'
import { IncipitError } from '../../api/errors.ts'
import { modelHash, readGguf } from '../../gguf/index.ts'
import type { ScaledAdapter } from '../../llama/context.ts'
import { LoraAdapter } from '../../llama/lora-adapter.ts'
import type { Model } from '../../llama/model.ts'
import type { Cleanup } from '../cleanup.ts'

type Lora = Required<LoraOptions>

/** @throws IncipitError `invalid_request` for a scale that is no number, and for a cut, which the adapters' tensors know nothing of */
export function checkedLoras({ loras = [], cut }: EngineOptions): readonly Lora[] {
  if (loras.length > 0 && typeof cut === 'object') {
    throw new IncipitError('invalid_request', 'cut: a model with adapters runs as one stage', { param: 'cut' })
  }
  return loras.map(({ path, scale = 1 }) => {
    if (Number.isFinite(scale)) return { path, scale }
    throw new IncipitError('invalid_request', `loras: the scale of ${path} must be a number, not ${scale}`, {
      param: 'loras',
    })
  })
}

export async function bytesOfLoras(loras: readonly Lora[]): Promise<number> {
  const files = await Promise.all(loras.map(({ path }) => readGguf(path)))
  return files.reduce((sum, { size }) => sum + size, 0)
}

/**
 * What of a model with these adapters is derived (rows, costs, calibrations) is not the model's own.
 * @param hash of the model's content
 */
export async function hashWithLoras(hash: string, loras: readonly Lora[], cacheDir: string): Promise<string> {
  if (loras.length === 0) return hash
  const parts = await Promise.all(loras.map(async ({ path, scale }) => [await modelHash(path, cacheDir), scale]))
  return createHash('sha256')
    .update(JSON.stringify([hash, ...parts]))
    .digest('hex')
}

/**
 * @param cleanup frees them
 * @throws as `LoraAdapter.load`
 */
export async function loadLoras(
  model: Model,
  loras: readonly Lora[],
  cleanup: Cleanup,
): Promise<readonly ScaledAdapter[]> {
  const adapters: ScaledAdapter[] = []
  for (const { path, scale } of loras)
    adapters.push({ adapter: cleanup.use(await LoraAdapter.load(model, path)), scale })
  return adapters
}
