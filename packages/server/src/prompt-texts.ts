import type { PromptPiece } from '@incipit/engine/api'
import { needed, type ServedEngine } from './served-engine.ts'

/**
 * Prompts as texts, special tokens by their names.
 *
 * @throws ServerError `unsupported` for token ids, with an engine that does not tell their text
 */
export function promptTexts(
  prompts: readonly (string | readonly PromptPiece[])[],
  { detokenize }: Pick<ServedEngine, 'detokenize'>,
): Promise<string[]> {
  return Promise.all(
    prompts.map(async (prompt) => {
      if (typeof prompt === 'string') return prompt
      let text = ''
      let tokens: number[] = []
      // A character may be several tokens.
      for (const piece of [...prompt, '']) {
        if (typeof piece === 'number') tokens.push(piece)
        else {
          if (tokens.length > 0) text += await needed(detokenize, 'detokenize')(tokens, { special: true })
          text += piece
          tokens = []
        }
      }
      return text
    }),
  )
}
