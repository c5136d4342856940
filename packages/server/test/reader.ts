import assert from 'node:assert/strict'
import type { Chunk } from './serve.ts'

/**
 * The client side of provisional text for one choice, written from the protocol alone: committed text grows, everything
 * after it may be replaced. Checks on the way what the protocol promises.
 */
export class Reader {
  readonly #index: number
  committed = ''
  /** What the user sees after the committed text. */
  tail = ''
  /** Shown tails that did not come true, whether they were taken back by an event or by a delta that disagrees. */
  withdrawn = 0
  #rev = 0

  constructor(index = 0) {
    this.#index = index
  }

  read(chunk: Chunk): void {
    for (const choice of chunk.choices) {
      if (choice.index === this.#index) this.#delta(choice.delta?.content ?? choice.text ?? '')
    }
    if (chunk.provisional?.index === this.#index) this.#provisional(chunk.provisional)
  }

  #delta(text: string): void {
    this.committed += text
    if (this.tail.startsWith(text)) {
      this.tail = this.tail.slice(text.length)
      return
    }
    // A delta that goes on where the tail ends has confirmed all of it.
    if (!text.startsWith(this.tail)) this.withdrawn++
    this.tail = ''
  }

  #provisional({ rev, base, text, stability, tokens }: NonNullable<Chunk['provisional']>): void {
    assert.equal(rev, this.#rev + 1, 'rev rises by one')
    this.#rev = rev
    assert.ok(base <= this.committed.length, 'base lies in the committed text')
    const view = this.committed.slice(0, base) + text
    assert.ok(view.startsWith(this.committed), 'committed text is never taken back')
    assert.ok(stability >= 0 && stability <= 1)
    assert.equal(tokens > 0, text !== '')
    const tail = view.slice(this.committed.length)
    if (!tail.startsWith(this.tail)) this.withdrawn++
    this.tail = tail
  }
}
