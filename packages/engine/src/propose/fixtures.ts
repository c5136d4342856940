import { choose, topTwoGap } from '../flow/sample.ts'
import { Batch } from '../llama/batch.ts'
import { Context } from '../llama/context.ts'
import type { Model } from '../llama/model.ts'
import type { Threadpool } from '../llama/threadpool.ts'
import type { Sampling } from '../request.ts'

export const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }
export const sampled: Sampling = { ...greedy, temperature: 1, topP: 0.95, seed: 17 }

/** Guesses for each text, and what became of them. */
export interface Guesser {
  /** Room for the states after the last layer of rows [from, to). */
  feed?(sequence: number, from: number, to: number): Float32Array
  propose(texts: readonly (readonly number[])[]): Promise<readonly (readonly number[])[]>
  observe?(sequence: number, right: number): void
}

/** A model that decodes a few replies at once, with or without drafts: the engine's rule in a few lines. */
export class Verifier implements Disposable {
  readonly #context: Context
  readonly #batch = new Batch(512)
  readonly #sampling: Sampling
  /** Drafted tokens, and those of them that were right. */
  offered = 0
  right = 0

  constructor(model: Model, threadpool: Threadpool, sampling: Sampling, options: { mtpStates?: boolean } = {}) {
    this.#context = new Context(model, { cells: 1024, sequences: 4, batch: 512, outputs: 64, threadpool, ...options })
    this.#sampling = sampling
  }

  /** Token ids of the replies, `count` each, and the gap between the two best logits at every token. */
  async replies(
    prompts: readonly (readonly number[])[],
    count: number,
    drafter?: Guesser,
  ): Promise<{ tokens: number[]; gaps: number[] }[]> {
    const texts = prompts.map((prompt) => [...prompt])
    const computed = prompts.map(() => 0)
    const gaps: number[][] = prompts.map(() => [])
    const wanted = prompts.map((prompt) => prompt.length + count)
    const room = new Float32Array(this.#context.model.vocab.size)
    while (texts.some((text, i) => text.length < wanted[i]!)) {
      const drafts = (await drafter?.propose(texts)) ?? texts.map(() => [])
      this.#batch.clear()
      const first: number[] = []
      for (const [i, text] of texts.entries()) {
        const tail = [...text, ...drafts[i]!].slice(computed[i])
        const output = text.length - 1 - computed[i]!
        first.push(this.#batch.rows + output)
        for (const [j, token] of tail.entries()) this.#batch.add(token, computed[i]! + j, [i], j >= output)
      }
      if ((await this.#context.decode(this.#batch)) !== 'done') throw new Error('the decode was not done')
      let row = 0
      for (const [i, text] of texts.entries()) {
        const [from, to] = [computed[i]!, text.length + drafts[i]!.length]
        if (drafter?.feed) this.#context.mtpStates(row, to - from, drafter.feed(i, from, to))
        row += to - from
      }
      for (const [i, text] of texts.entries()) {
        const draft = drafts[i]!
        const end = text.length
        let right = 0
        for (let row = 0; row <= draft.length; row++) {
          const logits = this.#context.logits(first[i]! + row, room)
          const token = choose(logits, this.#sampling, text.length)
          gaps[i]!.push(topTwoGap(logits))
          text.push(token)
          if (token !== draft[row]) break
          right++
        }
        this.offered += draft.length
        this.right += right
        drafter?.observe?.(i, right)
        computed[i] = end + right
        this.#context.sequenceRemove(i, computed[i]!)
      }
    }
    for (let i = 0; i < prompts.length; i++) this.#context.sequenceRemove(i, 0)
    return texts.map((text, i) => ({
      tokens: text.slice(prompts[i]!.length, wanted[i]),
      gaps: gaps[i]!.slice(0, count),
    }))
  }

  get acceptance(): number {
    return this.right / this.offered
  }

  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]()
    this.#batch[Symbol.dispose]()
  }
}
