import { IncipitError } from '../api/errors.ts'

/** The open message: text that its writer may still change. */
export class InputText {
  #text = ''
  #rev = 0

  get text(): string {
    return this.#text
  }

  /** Rises by one with every change. */
  get rev(): number {
    return this.#rev
  }

  /**
   * The text as it would read if everything after the UTF-16 offset `base` became `text`.
   * @throws IncipitError `invalid_request` for an offset outside the text
   */
  replaced(base: number, text: string): string {
    if (!Number.isInteger(base) || base < 0 || base > this.#text.length) {
      const message = `base must be from 0 to ${this.#text.length}, not ${base}`
      throw new IncipitError('invalid_request', message, { param: 'base' })
    }
    return this.#text.slice(0, base) + text
  }

  /** The text now reads this. */
  set(text: string): void {
    this.#text = text
    this.#rev++
  }

  /** What it stands for changed: the options, or the conversation before it. */
  touch(): void {
    this.#rev++
  }

  /** UTF-16 offset of the first difference to another text; never between the halves of a surrogate pair. */
  firstDifference(text: string): number {
    let same = 0
    while (same < text.length && text[same] === this.#text[same]) same++
    return same > 0 && /[\uD800-\uDBFF]/.test(text[same - 1]!) ? same - 1 : same
  }
}
