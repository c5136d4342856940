import type { ChatMessage } from '@incipit/engine/api'
import { JSONParser, type ParsedElementInfo } from '@streamparser/json'
import { chatBody } from './chat-body.ts'

/** The conversation of a body that is still arriving. */
export interface Arrived {
  /** Messages that are complete. */
  messages: readonly ChatMessage[]
  /** The one that is still arriving, as far as it has come. */
  open?: ChatMessage
  /** Whom the request is for, once it has come. */
  model?: string
  /** The namespace of the request, once it has come. */
  cacheSalt?: string
  /** The request will not use what is computed ahead. */
  cold?: true
}

/**
 * Reads `messages` out of the JSON text of a chat body while it arrives. What it finds is only good to work ahead on: the
 * body may still turn out to be malformed, or say something else about the same key.
 */
export class ArrivingMessages {
  readonly #parser = new JSONParser({
    // The array itself is not asked for: with its elements the parser keeps it.
    paths: [
      '$.model',
      '$.cache_salt',
      '$.cache_prompt',
      '$.messages.*',
      '$.messages.*.role',
      '$.messages.*.content',
      '$.messages.*.content.*.text',
    ],
    emitPartialTokens: true,
    emitPartialValues: true,
  })
  /** The parser's own array, which it goes on filling. */
  #array: readonly unknown[] = []
  #complete = 0
  /** The string that is arriving, if it is text of a message. */
  #partial: { depth: number; text: string } | undefined
  readonly #terms: Pick<Arrived, 'model' | 'cacheSalt' | 'cold'> = {}

  constructor() {
    this.#parser.onValue = (info) => this.#found(info)
  }

  /** @throws an Error of the parser when the text cannot be JSON, for good */
  write(chunk: Uint8Array): void {
    this.#parser.write(chunk)
  }

  /** The conversation so far, or undefined when the body cannot become a sound request any more. */
  read(): Arrived | undefined {
    const complete = this.#array.slice(0, this.#complete)
    const messages = complete.length === 0 ? [] : checked(complete)
    if (messages === undefined) return undefined
    const open = this.#open()
    return { messages, ...(open === undefined ? {} : { open }), ...this.#terms }
  }

  #open(): ChatMessage | undefined {
    const message = this.#array[this.#complete]
    if (!isObject(message)) return undefined
    // Most clients send the role first. A text whose role is not known yet is most likely the user's; if not, the work
    // ahead was in vain.
    const candidate: Record<string, unknown> = { role: 'user', ...message }
    const partial = this.#partial
    if (partial?.depth === CONTENT_DEPTH) candidate.content = partial.text
    else if (Array.isArray(candidate.content)) {
      const parts: unknown[] = candidate.content
      const last = parts.at(-1)
      const text = partial === undefined ? {} : { text: partial.text }
      candidate.content = [...parts.slice(0, -1), { type: 'text', ...(isObject(last) ? last : {}), ...text }]
    }
    return checked([candidate])?.[0]
  }

  #found({ value, key, parent, stack, partial }: ParsedElementInfo): void {
    const depth = stack.length
    const array = depth === ELEMENT_DEPTH ? parent : stack[ELEMENT_DEPTH]?.value
    if (Array.isArray(array) && array !== this.#array) {
      // The first one, or a second key of the same name, which replaces the first.
      this.#array = array
      this.#complete = 0
    }
    this.#partial = undefined
    if (depth === BODY_DEPTH) {
      if (!partial) this.#term(key, value)
    } else if (depth === ELEMENT_DEPTH) {
      if (!partial && typeof key === 'number') this.#complete = key + 1
    } else if (partial && typeof value === 'string' && key !== 'role') {
      this.#partial = { depth, text: value }
    }
  }

  #term(key: unknown, value: unknown): void {
    if (key === 'model' && typeof value === 'string' && value !== '') this.#terms.model = value
    if (key === 'cache_salt' && typeof value === 'string') this.#terms.cacheSalt = value
    if (key === 'cache_prompt' && value === false) this.#terms.cold = true
  }
}

// Entries of the parser's stack around a value: the document, the body, `messages`, a message, `content`, a part.
const BODY_DEPTH = 1
const ELEMENT_DEPTH = 2
const CONTENT_DEPTH = 3

/** Messages as the request's own schema makes them, or undefined where it refuses them. */
function checked(messages: readonly unknown[]): ChatMessage[] | undefined {
  const result = chatBody.shape.messages.safeParse(messages)
  return result.success ? result.data : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
