import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  type EmbeddingModelV4,
  type LanguageModelV4,
  type LanguageModelV4CallOptions,
  NoSuchModelError,
  type ProviderV4,
} from '@ai-sdk/provider'
import { account } from './account.ts'
import { providerName } from './provisional-metadata.ts'
import { provisionalText } from './provisional-text.ts'

export interface IncipitSettings {
  /** Of the server, with `/v1`. Default `http://127.0.0.1:8080/v1`. */
  baseURL?: string
  /** Sent as `authorization: Bearer <apiKey>`. */
  apiKey?: string
  /** Extra request headers. */
  headers?: Record<string, string>
  /** In place of the global one. */
  fetch?: typeof fetch
}

/** Models of a server by their names; where it serves a single one, any name will do. */
export interface IncipitProvider extends ProviderV4 {
  (model: string): LanguageModelV4
  /** A chat model, whose streams carry provisional text. */
  languageModel(model: string): LanguageModelV4
  /** Raw completions, of committed text alone. */
  completionModel(model: string): LanguageModelV4
  embeddingModel(model: string): EmbeddingModelV4
}

/**
 * An AI SDK provider of an incipit server. What stands in `providerOptions.incipit` goes into the body as the server spells
 * it: `tier`, `policy`, `min_stability`, `speculate`, `cache_salt`, `min_p` and so on.
 *
 * @example
 * const incipit = createIncipit()
 * const { stream } = streamText({ model: incipit('any'), prompt: 'Why is the sky blue?' })
 * let text = ''
 * for await (const part of stream) {
 *   if (part.type === 'text-delta') show((text += part.text), provisionalTextOf(part))
 * }
 */
export function createIncipit({
  baseURL = 'http://127.0.0.1:8080/v1',
  ...settings
}: IncipitSettings = {}): IncipitProvider {
  const compatible = createOpenAICompatible({
    ...settings,
    name: providerName,
    baseURL,
    includeUsage: true,
    supportsStructuredOutputs: true,
    metadataExtractor: account,
    transformRequestBody: asksForProvisionalText,
  })
  const languageModel = (model: string) => withProvisionalText(compatible.chatModel(model))
  return Object.assign((model: string) => languageModel(model), {
    specificationVersion: 'v4' as const,
    languageModel,
    completionModel: compatible.completionModel,
    embeddingModel: compatible.embeddingModel,
    imageModel(modelId: string): never {
      throw new NoSuchModelError({ modelId, modelType: 'imageModel' })
    },
  })
}

/** The body of a stream, with the options of its provisional text. The policy `confident` has none. */
function asksForProvisionalText({ min_stability, ...body }: Record<string, unknown>): Record<string, unknown> {
  if (!body.stream || body.policy === 'confident') return { min_stability, ...body }
  const { stream_options: options } = body as { stream_options?: object }
  return { ...body, stream_options: { ...options, include_provisional: true, min_stability } }
}

function withProvisionalText(model: LanguageModelV4): LanguageModelV4 {
  return {
    specificationVersion: 'v4',
    provider: model.provider,
    modelId: model.modelId,
    supportedUrls: model.supportedUrls,
    doGenerate: (options) => model.doGenerate(withTopK(options)),
    async doStream(options) {
      const { stream, ...others } = await model.doStream({ ...withTopK(options), includeRawChunks: true })
      return { ...others, stream: stream.pipeThrough(provisionalText(options.includeRawChunks ?? false)) }
    },
  }
}

/** OpenAI has no `top_k`, so the base leaves it out with a warning; here it is one of the server's own options. */
function withTopK({ topK, ...options }: LanguageModelV4CallOptions): LanguageModelV4CallOptions {
  if (topK === undefined) return options
  const { providerOptions } = options
  const own = { top_k: topK, ...providerOptions?.[providerName] }
  return { ...options, providerOptions: { ...providerOptions, [providerName]: own } }
}
