import { fimFrame, type ModelInfo, type PromptPiece } from '@incipit/engine/api'
import { ServerError } from './errors.ts'

/**
 * The prompt of a gap: the text before and behind it between the model's own tokens.
 *
 * @throws ServerError `unsupported` with a model that has none, or where the text before the gap is token ids
 */
export function filledIn(
  prompt: string | readonly PromptPiece[],
  suffix: string | null | undefined,
  { fim }: Pick<ModelInfo, 'fim'>,
): string | readonly PromptPiece[] {
  if (suffix === undefined || suffix === null || suffix === '') return prompt
  if (fim === undefined) {
    throw new ServerError('unsupported', 'this model does not fill in the middle', { param: 'suffix' })
  }
  const { before, after } = fimFrame(fim, suffix)
  return [...before, ...(typeof prompt === 'string' ? [prompt] : prompt), ...after]
}
