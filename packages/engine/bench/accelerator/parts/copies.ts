import { choose } from '../../../src/core/sampling/sample.ts'
import { Batch } from '../../../src/llama/batch.ts'
import { Context } from '../../../src/llama/context.ts'
import { Model } from '../../../src/llama/model.ts'
import { Threadpool } from '../../../src/llama/threadpool.ts'
import { median } from '../../numbers.ts'
import { row } from '../results.ts'
import { ms, type Task } from './part.ts'

const batchRows = 512
const choices = 200
const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }

/** What it costs to bring rows out of a KV cache into main memory, and back: of replies that are over, of requests that begin alike. */
export async function copies({ part, scale, model: path, threads }: Task): Promise<void> {
  using model = await Model.load(path)
  using threadpool = new Threadpool(threads)
  using batch = new Batch(batchRows)
  const longest = Math.max(...scale.lengths)
  const each = 256 * Math.ceil(longest / 256)
  using context = new Context(model, { cells: 2 * each, sequences: 2, unified: false, batch: batchRows, threadpool })
  await choosing(part.shape, context, batch)
  let rows = 0
  for (const length of scale.lengths) {
    while (rows < length) {
      batch.clear()
      while (rows < length && batch.rows < batchRows) batch.add(1000 + (rows % 3000), rows++, [0], false)
      await context.decode(batch)
    }
    const [out, back]: [number[], number[]] = [[], []]
    let bytes = 0
    for (let run = 0; run <= scale.runs; run++) {
      const begin = performance.now()
      const state = context.sequenceState(0)
      const middle = performance.now()
      context.setSequenceState(1, state)
      const end = performance.now()
      context.sequenceRemove(1, 0)
      bytes = state.length
      // The first time memory is new to the process.
      if (run === 0) continue
      out.push(middle - begin)
      back.push(end - middle)
    }
    row('Copies of rows', {
      shape: part.shape,
      tokens: length,
      MiB: Math.round(bytes / 2 ** 20),
      'out, ms': ms(median(out)),
      'back, ms': ms(median(back)),
      'GB/s out': ms(bytes / median(out) / 1e6),
    })
  }
}

/** What a greedy choice takes of a step, for each reply. */
async function choosing(shape: string, context: Context, batch: Batch): Promise<void> {
  const vocabulary = context.model.vocab.size
  const logits = new Float32Array(vocabulary)
  batch.clear()
  batch.add(1000, 0, [0], true)
  await context.decode(batch)
  const [read, chosen]: [number[], number[]] = [[], []]
  for (let run = 0; run < choices; run++) {
    const begin = performance.now()
    context.logits(0, logits)
    const middle = performance.now()
    choose(logits, greedy, run)
    chosen.push(performance.now() - middle)
    read.push(middle - begin)
  }
  context.sequenceRemove(0, 0)
  row('A greedy choice', {
    shape,
    vocabulary,
    'logits read, ms': ms(median(read)),
    'token chosen, ms': ms(median(chosen)),
  })
}
