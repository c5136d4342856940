import type { ModelInfo, PromptPiece } from '@incipit/engine/api'
import { z } from 'zod'
import { describedAs } from '../described-as.ts'
import { empty, neutral } from '../neutral.ts'
import { MAX_CHOICES } from '../parameters.ts'
import { strictArray } from '../strict-array.ts'

const token = z.int().min(0)
const pieces = strictArray(z.union([z.string(), token], 'must be a text or a token id'))
const wrapped = z
  .object({ prompt_string: z.string(), multimodal_data: neutral([], empty) })
  .transform(({ prompt_string: text }) => text)
const onePrompt = z.union([z.string(), wrapped, pieces], 'must be a text, a list of texts and token ids, or an object')

/** A prompt: a text, or token ids and texts that follow each other. */
export type Prompt = string | readonly PromptPiece[]

/**
 * `prompt` in llama-server's spellings, as a list. A flat list that has a token id is one prompt, a list of texts is a prompt
 * each.
 */
export const promptField = describedAs(
  z
    .unknown()
    .transform((value) => (Array.isArray(value) && !value.some((item) => typeof item === 'number') ? value : [value]))
    .pipe(strictArray(onePrompt, { most: MAX_CHOICES })),
  z.union([onePrompt, strictArray(onePrompt, { most: MAX_CHOICES })]),
)

/** A list whose first piece is text begins as every prompt of the model, as a text does. */
export function withBeginning(prompt: Prompt, { begin }: Pick<ModelInfo, 'begin'>): Prompt {
  return begin !== undefined && Array.isArray(prompt) && typeof prompt[0] === 'string' ? [begin, ...prompt] : prompt
}
