import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { provisionalOf, RevisableText } from '@incipit/client'
import { providerName, provisionalMetadata } from './provisional-metadata.ts'

type Part = LanguageModelV4StreamPart
type Emit = (part: Part) => void

/**
 * Adds to the text of a stream what may still be taken back: a text delta, which may be empty, says in its metadata how
 * the text goes on for now. Reads it from the raw chunks of the stream, each of which stands before what it becomes.
 *
 * @param passRaw whether raw chunks are wanted behind it, too
 */
export function provisionalText(passRaw: boolean): TransformStream<Part, Part> {
  const reader = new ProvisionalText()
  return new TransformStream({
    transform(part, controller) {
      const emit: Emit = (part) => controller.enqueue(part)
      if (part.type !== 'raw') reader.take(part, emit)
      else {
        if (passRaw) emit(part)
        reader.takeChunk(part.rawValue, emit)
      }
    },
  })
}

/** The id of a text block that a guess opens. */
const guessedBlock = 'provisional'

class ProvisionalText {
  readonly #text = new RevisableText()
  /** The text block that is open: the first guess opens it, before there is any committed text. */
  #block: string | undefined
  /** What of the tail the last delta said. */
  #shown = ''
  #saidAnything = false

  takeChunk(chunk: unknown, emit: Emit): void {
    if (typeof chunk !== 'object' || chunk === null || !('provisional' in chunk)) return
    const event = provisionalOf(chunk.provisional)
    if (!event) return
    this.#text.revise(event)
    if (this.#text.provisional !== this.#shown) this.#say('', emit)
  }

  take(part: Exclude<Part, { type: 'raw' }>, emit: Emit): void {
    switch (part.type) {
      case 'text-start':
        if (this.#block === undefined) this.#open(part.id, emit)
        return
      case 'text-delta':
        this.#text.commit(part.delta)
        this.#say(part.delta, emit)
        return
      case 'text-end':
        this.#close(emit)
        return
      case 'reasoning-start':
      case 'finish':
        // A guess has opened the block, and no text came of it.
        this.#close(emit)
        emit(part)
        return
      default:
        emit(part)
    }
  }

  #open(id: string, emit: Emit): void {
    this.#block = id
    emit({ type: 'text-start', id })
  }

  /** More committed text, and how it goes on. */
  #say(delta: string, emit: Emit): void {
    if (this.#block === undefined) this.#open(guessedBlock, emit)
    const { value } = this.#text
    // Who keeps the last metadata that came, as messages do, is told when there is no tail any more.
    const tells = value.provisional !== '' || this.#shown !== ''
    this.#shown = value.provisional
    this.#saidAnything ||= tells
    const metadata = tells ? { providerMetadata: provisionalMetadata(value) } : {}
    emit({ type: 'text-delta', id: this.#block!, delta, ...metadata })
  }

  #close(emit: Emit): void {
    if (this.#block === undefined) return
    // Nobody confirms it any more.
    this.#text.apply({ type: 'done' })
    if (this.#shown !== '') this.#say('', emit)
    const metadata = this.#saidAnything ? { providerMetadata: { [providerName]: {} } } : {}
    emit({ type: 'text-end', id: this.#block, ...metadata })
    this.#block = undefined
    this.#saidAnything = false
  }
}
