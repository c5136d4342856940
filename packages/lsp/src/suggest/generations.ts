import type { Generation } from './generation.ts'
import { mayBecome, typedThrough } from './type-through.ts'

// As many as llama.vim keeps.
const most = 250

/** What was said at the places of a document, the latest first: typed through, moved back to, accepted, it is still good. */
export class Generations {
  #all: Generation[] = []

  add(generation: Generation): void {
    this.#all.unshift(generation)
    for (const old of this.#all.splice(most)) old.stop()
  }

  /**
   * Those that fit a place, and how much of each is typed by now (UTF-16 units). Undefined: more is typed than it has said
   * yet, and it may still say that.
   * @param typedTail the text before the cursor, long enough to hold a whole completion
   */
  *fitting(typedTail: string, head: string): Generator<{ generation: Generation; typed: number | undefined }> {
    for (const generation of this.#all) {
      const { place, text, state, begun } = generation
      const typed = typedThrough(place, text, typedTail, head)
      // What it was made to begin with is no suggestion: somebody took that back.
      if (typed !== undefined && typed >= begun) yield { generation, typed }
      else if (state === 'running' && mayBecome(place, text, typedTail, head, begun))
        yield { generation, typed: undefined }
    }
  }

  /** Stops those that run and cannot become what is typed. */
  stopStrangers(typedTail: string, head: string): void {
    for (const generation of this.#all) {
      if (generation.state !== 'running') continue
      const { place, text, begun } = generation
      if (!mayBecome(place, text, typedTail, head, begun)) generation.stop()
    }
  }

  /** Stops all, and forgets what failed or never said anything. */
  stop(): void {
    for (const generation of this.#all) generation.stop()
    this.#all = this.#all.filter(({ state, text }) => state !== 'failed' && text !== '')
  }

  clear(): void {
    this.stop()
    this.#all = []
  }
}
