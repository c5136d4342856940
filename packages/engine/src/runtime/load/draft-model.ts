import { IncipitError } from '../../api/errors.ts'
import { type Gguf, readGguf } from '../../gguf/index.ts'
import { Context, type ContextOptions } from '../../llama/context.ts'
import { Model, type ModelOptions } from '../../llama/model.ts'
import { DraftRunner } from '../draft-runner.ts'
import { commonVocabulary } from './common-vocabulary.ts'

/**
 * A second model as a drafter: a smaller one (`draft`), or the same mixture of experts with fewer of them (`experts`).
 * @param target the model that will verify: the vocabularies must be the same
 * @throws IncipitError `draft_mismatch` for a model with another vocabulary or a memory that cannot be rolled back, and
 *   what `Model.load` and `Context` throw
 */
export async function loadDraftModel(
  path: string,
  target: Gguf,
  options: ContextOptions & Pick<ModelOptions, 'experts'>,
): Promise<DraftRunner> {
  const { experts, ...contextOptions } = options
  const vocabulary = commonVocabulary(target, await readGguf(path))
  // The context keeps the weights.
  using model = await Model.load(path, experts === undefined ? {} : { experts })
  if (model.recurrent) {
    throw new IncipitError('draft_mismatch', `${path} cannot draft: a recurrent memory cannot be rolled back`)
  }
  return new DraftRunner(new Context(model, contextOptions), vocabulary, experts === undefined ? 'draft' : 'experts')
}
