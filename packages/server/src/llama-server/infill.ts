import { type FimTokens, fimFrame, type ModelInfo, type PromptPiece } from '@incipit/engine/api'
import { z } from 'zod'
import { ServerError } from '../errors.ts'
import { strictArray } from '../strict-array.ts'
import { completionFields } from './completion-body.ts'

/** The body of `POST /infill`. */
export const infillBody = z.object({
  ...completionFields,
  input_prefix: z.string(),
  input_suffix: z.string(),
  // Pieces of other files.
  input_extra: strictArray(z.object({ filename: z.string().nullish(), text: z.string() }), { least: 0 }).nullish(),
  // What of the line before the gap is there: it follows the prefix.
  prompt: z.string().nullish(),
})

type InfillBody = z.infer<typeof infillBody>

/**
 * The prompt of a gap, in the order that the model was trained with.
 *
 * @throws ServerError `unsupported` with a model that has no tokens for it
 */
export function infillPrompt(body: InfillBody, { fim }: Pick<ModelInfo, 'fim'>): readonly PromptPiece[] {
  if (fim === undefined) {
    throw new ServerError('unsupported', 'input_suffix: this model does not fill in the middle', {
      param: 'input_suffix',
    })
  }
  const extra = body.input_extra ?? []
  // A model that knows no files reads them as a beginning of this one.
  const around = fim.file === undefined ? { above: extra.map(({ text }) => `${text}\n`) } : { files: files(extra, fim) }
  const { before, after } = fimFrame(fim, body.input_suffix, around)
  return [...before, body.input_prefix + (body.prompt ?? ''), ...after]
}

type Extra = NonNullable<InfillBody['input_extra']>

/** The names that llama-server gives to what has none. */
function files(extra: Extra, { file, repository }: FimTokens): PromptPiece[] {
  if (extra.length === 0) return []
  return [
    ...(repository === undefined ? [] : [repository, 'myproject\n']),
    ...extra.flatMap(({ filename, text }) => [file!, `${filename || 'tmp'}\n${text}\n`]),
    file!,
    'filename\n',
  ]
}
