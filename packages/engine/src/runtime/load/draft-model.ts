import type { Log } from '../../api/engine-options.ts'
import { IncipitError } from '../../api/errors.ts'
import { recurrentState } from '../../core/kv/sequence-memory.ts'
import { type Gguf, readGguf } from '../../gguf/index.ts'
import { Context, type ContextOptions } from '../../llama/context.ts'
import { Model, type ModelOptions } from '../../llama/model.ts'
import { DraftRunner } from '../draft-runner.ts'
import { commonVocabulary } from './common-vocabulary.ts'
import { tryMemory } from './try-memory.ts'

/** `reserved` as when a model is loaded. */
export type DraftModelOptions = ContextOptions & Pick<ModelOptions, 'experts' | 'reserved'>

/**
 * A second model as a drafter: a smaller one (`draft`), or the same mixture of experts with fewer of them (`experts`).
 * @param target the model that will verify: the vocabularies must be the same
 * @throws IncipitError `draft_mismatch` for a model with another vocabulary or a recurrent memory that cannot be copied, and
 *   what `Model.load` and `Context` throw
 */
export async function loadDraftModel(
  path: string,
  target: Gguf,
  options: DraftModelOptions,
  log: Log,
): Promise<DraftRunner> {
  const { experts, reserved, ...contextOptions } = options
  const vocabulary = commonVocabulary(target, await readGguf(path))
  // The context keeps the weights.
  using model = await Model.load(path, {
    cells: options.cells,
    ...(reserved !== undefined && { reserved }),
    ...(experts !== undefined && { experts }),
  })
  const context = new Context(model, contextOptions)
  if (model.recurrent && !(await tryMemory(context, recurrentState(model.window, true), log)).copies) {
    context[Symbol.dispose]()
    throw new IncipitError('draft_mismatch', `${path} cannot draft: its memory can be neither rolled back nor copied`)
  }
  return new DraftRunner(context, vocabulary, experts === undefined ? 'draft' : 'experts')
}
