import type { EngineApi } from '@incipit/engine/api'
import type { ModelConfig } from './models/model-config.ts'

/** A prefix that is kept. */
export interface KeptPrefix {
  name: string
  tokens: number
  /** An earlier run had saved it. */
  fromDisk: boolean
}

/**
 * Computes system prompts, or finds them on disk, and keeps them: conversations that begin with one find it warm. For a
 * model without a chat template they are the beginning of raw prompts.
 *
 * @param cacheSalt the namespace of those who may use them
 * @throws as `Engine.pinPrefix`
 */
export async function pinPrefixes(
  engine: Pick<EngineApi, 'info' | 'pinPrefix'>,
  prefixes: ModelConfig['prefixes'],
  cacheSalt: string,
): Promise<KeptPrefix[]> {
  const kept: KeptPrefix[] = []
  for (const { name, text } of prefixes) {
    const prompt = engine.info.hasChatTemplate ? { messages: [{ role: 'system', content: text }] } : { prompt: text }
    const { promptTokens, cachedTokens } = await engine.pinPrefix(name, { ...prompt, cacheSalt })
    // The last token's row is computed by every request for itself.
    kept.push({ name, tokens: promptTokens, fromDisk: cachedTokens >= promptTokens - 1 })
  }
  return kept
}
