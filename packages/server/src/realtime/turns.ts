import { type ChatMessage, IncipitError } from '@incipit/engine/api'
import type { Item } from '../items/item.ts'
import { joinedMessages, messageOf } from '../items/messages-of.ts'

/** A part of a conversation: an item that the client can name, or a message of a conversation that it gave as a whole. */
interface Turn {
  readonly item?: Item
  readonly message: ChatMessage
}

/** The conversation before the open message. */
export class Turns {
  #turns: readonly Turn[] = []

  get count(): number {
    return this.#turns.length
  }

  /** UTF-16 units of all text in it. */
  get size(): number {
    return this.#turns.reduce((sum, { message }) => sum + sizeOf(message), 0)
  }

  /** The messages that it is for a chat template. */
  messages(instructions: string | null): ChatMessage[] {
    return joinedMessages(
      this.#turns.map(({ message }) => message),
      instructions,
    )
  }

  replace(messages: readonly ChatMessage[]): void {
    this.#turns = messages.map((message) => ({ message }))
  }

  insert(items: readonly Item[], place: number): void {
    const turns = items.map((item) => ({ item, message: messageOf(item) }))
    this.#turns = this.#turns.toSpliced(place, 0, ...turns)
  }

  delete(id: string): void {
    const place = this.#placeOf(id, 'item_id')
    this.#turns = this.#turns.toSpliced(place, 1)
  }

  /** @throws IncipitError `invalid_request` for an id that it does not have */
  item(id: string): Item {
    return this.#turns[this.#placeOf(id, 'item_id')]!.item!
  }

  has(id: string): boolean {
    return this.#turns.some(({ item }) => item?.id === id)
  }

  /** The id of the item in front of a place, where there is one. */
  idBefore(place: number): string | null {
    return this.#turns[place - 1]?.item?.id ?? null
  }

  /**
   * Where an item goes.
   * @param previous the id of the item before it, or `root` for the beginning; default: at the end
   * @throws IncipitError `invalid_request` for an id that it does not have
   */
  placeAfter(previous: string | null | undefined): number {
    if (previous === undefined || previous === null) return this.count
    return previous === 'root' ? 0 : this.#placeOf(previous, 'previous_item_id') + 1
  }

  #placeOf(id: string, param: string): number {
    const place = this.#turns.findIndex(({ item }) => item?.id === id)
    if (place >= 0) return place
    const message = `${param}: the conversation has no item ${JSON.stringify(id)}`
    throw new IncipitError('invalid_request', message, { param })
  }
}

/** UTF-16 units of a message's text. */
export function sizeOf({ content, reasoning = '', toolCalls = [] }: ChatMessage): number {
  const calls = toolCalls.reduce((sum, { name, arguments: json }) => sum + name.length + json.length, 0)
  return content.length + reasoning.length + calls
}
