import { IncipitError } from '../api/errors.ts'
import { Batch } from '../llama/batch.ts'
import { Context } from '../llama/context.ts'
import type { Model } from '../llama/model.ts'
import { Threadpool } from '../llama/threadpool.ts'

/**
 * One model, one sequence, one row after another: plain llama.cpp without stages or speculation. The reference that
 * tuning, benchmarks and equality tests compare with.
 */
export class Plain implements Disposable {
  readonly model: Model
  readonly context: Context
  readonly #threadpool: Threadpool
  readonly #batch: Batch
  readonly #logits: Float32Array
  #rows = 0
  #last = 0

  /** The model stays the caller's. `batch` (default 512), `layerInput` and `outputs` (default 1) as in `ContextOptions`. */
  constructor(
    model: Model,
    options: { cells: number; threads: number; batch?: number; layerInput?: number; outputs?: number },
  ) {
    const { batch = 512 } = options
    this.model = model
    this.#threadpool = new Threadpool(options.threads)
    this.context = new Context(model, {
      cells: options.cells,
      sequences: 1,
      batch,
      outputs: options.outputs ?? 1,
      threadpool: this.#threadpool,
      ...(options.layerInput === undefined ? {} : { layerInput: options.layerInput }),
    })
    this.#batch = new Batch(batch)
    this.#logits = new Float32Array(model.vocab.size)
  }

  /** Rows in the cache. */
  get rows(): number {
    return this.#rows
  }

  /** Row of the last decode that belongs to the last token. */
  get lastRow(): number {
    return this.#last
  }

  /** Forgets the rows from `from` on (default: everything). */
  reset(from = 0): void {
    this.context.sequenceRemove(0, from)
    this.#rows = from
  }

  /**
   * Runs these tokens after those before; only rows from index `output` on (default: the last) give logits.
   * `each` is called after every decode with the first token's index and the number of rows of that decode.
   */
  async run(
    tokens: readonly number[],
    output: number = tokens.length - 1,
    each?: (from: number, rows: number) => void,
  ): Promise<void> {
    const { capacity } = this.#batch
    for (let from = 0; from < tokens.length; from += capacity) {
      this.#batch.clear()
      const to = Math.min(tokens.length, from + capacity)
      for (let i = from; i < to; i++) this.#batch.add(tokens[i]!, this.#rows + i - from, [0], i >= output)
      const result = await this.context.decode(this.#batch)
      if (result !== 'done') throw new IncipitError('decode_failed', `the plain decode ended as '${result}'`)
      this.#rows += to - from
      this.#last = to - from - 1
      each?.(from, to - from)
    }
  }

  /** Logits of the last row. Valid until the next call. */
  logits(): Float32Array {
    return this.context.logits(this.#last, this.#logits)
  }

  [Symbol.dispose](): void {
    this.context[Symbol.dispose]()
    this.#batch[Symbol.dispose]()
    this.#threadpool[Symbol.dispose]()
  }
}
