import { IncipitError } from '../api/errors.ts'
import { derived } from './cache.ts'
import { cutStage, type ExitHead, planCut, type StagePlan } from './cut.ts'
import type { Gguf } from './read.ts'

/** A model file that holds one stage. */
export interface StageFile extends StagePlan {
  readonly path: string
}

/** The head of the first stage. `id` (0-9, a-z, -) stands for its content: another content needs another id. */
export interface StageHead extends Omit<ExitHead, 'data'> {
  readonly id: string
  /** Called only when the stage file has to be made. */
  readonly data: () => Promise<Uint8Array>
}

/** Part of each name: files of an incipit that cut differently are not used. Raise it when the cut changes. */
const cutVersion = 2

/**
 * The files of the stages that `at` cuts the model into, in order, from the cache or newly cut. With an empty `at` that
 * is the model's own file.
 *
 * @param hash content hash of the model (`modelHash`)
 * Errors: `invalid_request` and `cut_refused` as in `planCut`; `cut_refused` also when the cache cannot be written, with
 * the system's error as its cause.
 */
export async function stageFiles(
  gguf: Gguf,
  hash: string,
  at: readonly number[],
  cacheDir: string,
  exitHead?: StageHead,
): Promise<StageFile[]> {
  const stages = planCut(gguf, at)
  if (stages.length === 1) return [{ ...stages[0]!, path: gguf.path }]
  const files: StageFile[] = []
  for (const stage of stages) {
    const head = stage.from === 0 ? exitHead : undefined
    const make = async (temporary: string): Promise<void> => {
      const given = head && { head: { type: head.type, shape: head.shape, data: await head.data() } }
      await cutStage(gguf, { ...stage, hash, ...given }, temporary)
    }
    try {
      files.push({ ...stage, path: await derived(cacheDir, hash, fileName(stage, head?.id), make) })
    } catch (error) {
      if (error instanceof IncipitError) throw error
      const message = `${gguf.path}: its stage files could not be written: ${(error as Error).message}`
      throw new IncipitError('cut_refused', message, { cause: error })
    }
  }
  return files
}

function fileName(stage: StagePlan, headId: string | undefined): string {
  // Letters of one case: some file systems do not tell them apart.
  if (headId !== undefined && !/^[0-9a-z-]+$/.test(headId)) {
    throw new IncipitError('invalid_request', `'${headId}' is no id for an exit head: use 0-9, a-z and -`)
  }
  const exit = headId === undefined ? '' : `-exit-${headId}`
  return `stage-v${cutVersion}-${stage.from}-${stage.to}${exit}.gguf`
}
