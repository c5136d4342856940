import { Batch } from '../../llama/batch.ts'
import { Context } from '../../llama/context.ts'
import type { Model } from '../../llama/model.ts'
import type { Threadpool } from '../../llama/threadpool.ts'

/** Bytes that the memory of a model takes, of all its layers. */
export interface MemorySizes {
  /** Of a KV cell. */
  readonly cell: number
  /** Of that, in layers with a window. */
  readonly windowCell: number
  /** Of the recurrent states of a sequence. */
  readonly state: number
  /** The architecture can keep snapshots of its states. */
  readonly snapshots: boolean
}

// llama.cpp makes no smaller cache, and wants a batch longer than there are snapshots.
const cells = 256
const rows = 8

/**
 * Measured on a sequence of one row and then two, since no two architectures have the same states, and few files say which
 * layers have a window. Of a model whose layers all have rows and see everything the file says it.
 */
export async function memorySizes(model: Model, threadpool: Threadpool): Promise<MemorySizes> {
  if (!model.recurrent && model.window === 0) {
    return { cell: model.cellBytes, windowCell: 0, state: 0, snapshots: false }
  }
  using context = new Context(model, { cells, sequences: 1, snapshots: 1, batch: rows, threadpool })
  using batch = new Batch(1)
  const all: number[] = []
  const partial: number[] = []
  for (const row of [0, 1]) {
    batch.clear()
    batch.add(0, row, [0], true)
    await context.decode(batch)
    all.push(context.sequenceState(0).length)
    partial.push(context.checkpoint(0).length)
  }
  const windowCell = model.window > 0 ? partial[1]! - partial[0]! : 0
  const state = model.recurrent ? partial[0]! - windowCell : 0
  return { cell: all[1]! - all[0]!, windowCell, state, snapshots: context.snapshots > 0 }
}
