import { fimFrame, fimPieces, type ModelInfo, type PromptPiece } from '@incipit/engine/api'
import { ServerError } from './errors.ts'

/** What of a model says how it fills in. */
export type FillsIn = Pick<ModelInfo, 'name' | 'architecture' | 'fim'>

/**
 * The prompt of a gap: the text before and behind it between the model's own tokens. Editors that know the model write its
 * tokens as text into the prompt itself: then those are found there.
 *
 * @throws ServerError `unsupported` with a model that has none, or where the text before the gap is token ids
 */
export function filledIn(
  prompt: string | readonly PromptPiece[],
  suffix: string | null | undefined,
  model: FillsIn,
): string | readonly PromptPiece[] {
  if (suffix === undefined || suffix === null || suffix === '') {
    return (typeof prompt === 'string' && fimPieces(prompt, model)) || prompt
  }
  const { fim } = model
  if (fim === undefined) {
    throw new ServerError('unsupported', 'this model does not fill in the middle', { param: 'suffix' })
  }
  const { before, after } = fimFrame(fim, suffix)
  return [...before, ...(typeof prompt === 'string' ? [prompt] : prompt), ...after]
}
