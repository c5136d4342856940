import { Batch } from '../../llama/batch.ts'
import { Context } from '../../llama/context.ts'
import type { Model } from '../../llama/model.ts'
import type { Threadpool } from '../../llama/threadpool.ts'

// llama.cpp makes no smaller cache.
const cells = 256

/**
 * Bytes of the recurrent states of one sequence: those of a sequence of one row, since no two architectures have the same
 * and a file does not say. 0 for a model without any.
 */
export async function stateBytes(model: Model, threadpool: Threadpool): Promise<number> {
  if (!model.recurrent) return 0
  using context = new Context(model, { cells, sequences: 1, batch: 1, threadpool })
  using batch = new Batch(1)
  batch.add(0, 0, [0], true)
  await context.decode(batch)
  return context.checkpoint(0).length
}
