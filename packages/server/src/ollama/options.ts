import { z } from 'zod'
import { describedAs } from '../described-as.ts'
import { type SharedParameters, sharedParameters } from '../parameters.ts'
import { llamaPenaltiesOf, llamaPenaltyFields } from '../penalties.ts'
import { unsupportedParameters } from '../unsupported-parameters.ts'

/** `options` of a request: sampling, and how to load the model, which is loaded already. */
export const modelOptions = z.object({
  ...unsupportedParameters,
  ...llamaPenaltyFields,
  temperature: sharedParameters.temperature,
  top_k: sharedParameters.top_k,
  top_p: sharedParameters.top_p,
  min_p: sharedParameters.min_p,
  seed: z.int().nullish(),
  // -2 fills the context, which is no bound either.
  num_predict: describedAs(
    z.int().refine((value) => value >= 1 || value === -1 || value === -2, 'must be at least 1, or -1 for no bound'),
    z.union([z.int().min(1), z.literal([-1, -2])]),
  ).nullish(),
  stop: sharedParameters.stop,
  num_ctx: z.int().min(1).nullish(),
})

export type ModelOptions = z.infer<typeof modelOptions>

// Ollama's defaults, which its clients count on.
const DEFAULT_TEMPERATURE = 0.8
const DEFAULT_TOP_K = 40
const DEFAULT_TOP_P = 0.9

/** The same in OpenAI's terms. */
export function samplingOf(options: ModelOptions): Partial<SharedParameters> {
  const { num_predict: most, seed } = options
  return {
    ...llamaPenaltiesOf(options),
    temperature: options.temperature ?? DEFAULT_TEMPERATURE,
    top_k: options.top_k ?? DEFAULT_TOP_K,
    top_p: options.top_p ?? DEFAULT_TOP_P,
    min_p: options.min_p,
    // Completions have a bound of their own where none is named.
    max_tokens: typeof most === 'number' && most > 0 ? most : -1,
    stop: options.stop,
    // Negative: any.
    ...(typeof seed === 'number' && seed >= 0 && { seed }),
  }
}
