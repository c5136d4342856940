import type { ArgumentReader } from '../tools/arguments/argument-reader.ts'
import type { Part, PartReader } from './part.ts'

/** Reads a reply step by step, and holds back what may still become a marker. */
export abstract class HoldingReader implements PartReader {
  /** Text that was not told yet. */
  protected held = ''
  /** Of the call that was begun last. */
  protected reader: ArgumentReader | undefined

  abstract readonly inContent: boolean
  abstract readonly inReasoning: boolean
  abstract end(): Part[]
  abstract clone(): PartReader

  /** Takes something of what is held. False where more text is needed. */
  protected abstract step(parts: Part[]): boolean

  feed(text: string): Part[] {
    this.held += text
    const parts: Part[] = []
    while (this.held !== '' && this.step(parts)) {
      // Until more text is needed.
    }
    return parts
  }

  /** Takes what is there of the arguments of a call. True when they are whole. */
  protected takeArguments(parts: Part[]): boolean {
    const { json, length, ended } = this.reader!.take(this.held)
    if (json !== '') parts.push({ type: 'arguments', text: json })
    this.held = this.held.slice(length)
    if (ended) parts.push({ type: 'call_end' })
    return ended
  }

  /** What is held here, in a copy. */
  protected copyHeld(copy: HoldingReader): void {
    copy.held = this.held
    copy.reader = this.reader?.clone()
  }
}
