import type { MetadataExtractor } from '@ai-sdk/openai-compatible'
import type { JSONObject, SharedV4ProviderMetadata } from '@ai-sdk/provider'
import { providerName } from './provisional-metadata.ts'

/** Keeps what the server tells of a reply beside its usage: `timings`, and the mark of a lossy policy. */
export const account: MetadataExtractor = {
  extractMetadata: async ({ parsedBody }) => accountOf(parsedBody),
  createStreamExtractor() {
    let found: SharedV4ProviderMetadata | undefined
    return {
      processChunk(chunk) {
        found = accountOf(chunk) ?? found
      },
      buildMetadata: () => found,
    }
  },
}

/** The account in a body or a chunk. The last chunk has all of it. */
function accountOf(source: unknown): SharedV4ProviderMetadata | undefined {
  if (!hasTimings(source)) return undefined
  const { timings, lossy } = source
  return { [providerName]: { timings, ...(lossy === true && { lossy }) } }
}

function hasTimings(source: unknown): source is { timings: JSONObject; lossy?: unknown } {
  if (typeof source !== 'object' || source === null || !('timings' in source)) return false
  return typeof source.timings === 'object' && source.timings !== null
}
