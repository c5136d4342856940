import { ServerError } from '../errors.ts'
import type { Item } from '../items/item.ts'
import type { ResponseObject } from './response-object.ts'

export interface StoredResponse {
  readonly response: ResponseObject
  /** What it was made of, the conversation before it included. */
  readonly input: readonly Item[]
}

/** The conversation up to the end of a response. */
export function conversationOf({ input, response }: StoredResponse): readonly Item[] {
  return [...input, ...response.output]
}

/** Responses that are kept at most, and the characters of their JSON together. */
const MAX_RESPONSES = 1000
const MAX_SIZE = 64 * 1024 * 1024

/**
 * Responses in memory, for those who go on with them or look at them again. When it is full, the one that was used least
 * recently goes. Ids are random, and one store belongs to one API key: who has neither the key nor the id reads nothing.
 */
export class ResponseStore {
  readonly #entries = new Map<string, StoredResponse & { readonly size: number }>()
  /** Items by their ids, and how many of the responses above have them. */
  readonly #items = new Map<string, { item: Item; uses: number }>()
  readonly #maxResponses: number
  readonly #maxSize: number
  #size = 0

  constructor({ maxResponses = MAX_RESPONSES, maxSize = MAX_SIZE } = {}) {
    this.#maxResponses = maxResponses
    this.#maxSize = maxSize
  }

  add(stored: StoredResponse): void {
    const size = JSON.stringify(stored).length
    this.#entries.set(stored.response.id, { ...stored, size })
    this.#size += size
    for (const item of conversationOf(stored)) {
      this.#items.set(item.id, { item, uses: (this.#items.get(item.id)?.uses ?? 0) + 1 })
    }
    for (const id of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxResponses && this.#size <= this.#maxSize) break
      this.delete(id)
    }
  }

  get(id: string): StoredResponse | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    // The last to go now.
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry
  }

  /** @throws ServerError `response_not_found` */
  require(id: string): StoredResponse {
    const stored = this.get(id)
    if (stored) return stored
    throw new ServerError('response_not_found', `no response with the id ${JSON.stringify(id)} is kept here`)
  }

  item(id: string): Item | undefined {
    return this.#items.get(id)?.item
  }

  delete(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    this.#size -= entry.size
    for (const { id } of conversationOf(entry)) {
      const kept = this.#items.get(id)
      if (kept && --kept.uses === 0) this.#items.delete(id)
    }
  }
}
