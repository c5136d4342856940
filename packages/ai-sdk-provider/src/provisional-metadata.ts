import type { SharedV4ProviderMetadata } from '@ai-sdk/provider'
import type { RevisableValue } from '@incipit/client'

/** The name under which metadata and options of this provider stand. */
export const providerName = 'incipit'

/** Anything with metadata: a part of a stream, or of a message. */
interface WithMetadata {
  readonly providerMetadata?: SharedV4ProviderMetadata | undefined
}

/**
 * What follows a text for now and may still be replaced; empty when there is nothing. It replaces what the part before
 * said.
 *
 * @param part a `text-delta` of a stream, or a text part of a message
 */
export function provisionalTextOf({ providerMetadata }: WithMetadata): string {
  const text = providerMetadata?.[providerName]?.provisional
  return typeof text === 'string' ? text : ''
}

/** Metadata that says how a text goes on for now. */
export function provisionalMetadata({ provisional, stability, source }: RevisableValue): SharedV4ProviderMetadata {
  return {
    [providerName]: {
      provisional,
      ...(stability !== undefined && { stability }),
      ...(source !== undefined && { source }),
    },
  }
}
