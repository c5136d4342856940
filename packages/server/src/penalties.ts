import type { GenerateRequest } from '@incipit/engine/api'
import { type SharedParameters, sharedParameters } from './parameters.ts'

const { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n } = sharedParameters

/** Penalties in llama.cpp's terms, which Ollama has, too. */
export const llamaPenaltyFields = { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n }

type PenaltyName = 'repetition_penalty' | keyof typeof llamaPenaltyFields
type PenaltyFields = Pick<SharedParameters, PenaltyName>

/** In those dialects penalties look at the last 64 tokens where nothing is said. */
export function llamaPenaltiesOf(fields: PenaltyFields): PenaltyFields {
  const { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n } = fields
  return { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n: repeat_last_n ?? 64 }
}

/** The same in the engine's terms. */
export function penaltiesOf(
  fields: PenaltyFields,
): Pick<GenerateRequest, 'repetitionPenalty' | 'frequencyPenalty' | 'presencePenalty' | 'penaltyWindow'> {
  const { frequency_penalty: frequency, presence_penalty: presence, repeat_last_n: window } = fields
  if (window === 0) return {}
  const repetition = fields.repetition_penalty ?? fields.repeat_penalty
  return {
    ...(typeof repetition === 'number' && { repetitionPenalty: repetition }),
    ...(typeof frequency === 'number' && { frequencyPenalty: frequency }),
    ...(typeof presence === 'number' && { presencePenalty: presence }),
    ...(typeof window === 'number' && { penaltyWindow: window === -1 ? Number.MAX_SAFE_INTEGER : window }),
  }
}
