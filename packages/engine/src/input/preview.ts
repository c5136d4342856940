import type { ProvisionalEvent } from '../api/events.ts'

/** An early reply as provisional text: shown while the input is open, taken back when it changes. */
export class Preview {
  readonly #emit: (event: ProvisionalEvent) => void
  #rev = 0
  #text = ''

  constructor(emit: (event: ProvisionalEvent) => void) {
    this.#emit = emit
  }

  /** @param tokens that the full model said so far */
  show(text: string, tokens: number): void {
    if (text === this.#text) return
    this.#text = text
    const shown = text !== ''
    this.#emit({
      type: 'provisional',
      rev: ++this.#rev,
      base: 0,
      text,
      tokens: shown ? tokens : 0,
      // The full model said it; only the input may still change.
      stability: shown ? 1 : 0,
      source: 'input',
      ...(shown ? {} : { reason: 'input_changed' as const }),
    })
  }

  withdraw(): void {
    this.show('', 0)
  }
}
