import type { Item } from '../items/item.ts'
import type { OutputEvent } from '../items/output.ts'

/** An item as OpenAI's realtime dialect spells it. */
export function wireItem(item: Item): object {
  const told = { ...item, object: 'realtime.item' }
  if (item.type !== 'message') return told
  return { ...told, content: item.content.map(({ type, text }) => ({ type, text })) }
}

/**
 * The events of an output as OpenAI's realtime dialect spells them, which differs from that of its responses in what parts
 * are called and in what calls are named by.
 */
export class WireEvents {
  /** Of the item that is open, where it is a call. */
  #callId: string | undefined

  spelled({ type, logprobs: _, item, part, ...fields }: OutputEvent): { type: string; fields: object } {
    if (item) {
      this.#callId = item.type === 'function_call' ? item.call_id : undefined
      return { type, fields: { ...fields, item: wireItem(item) } }
    }
    if (part) {
      const told = part.type === 'output_text' ? { type: 'text', text: part.text } : part
      return { type, fields: { ...fields, part: told } }
    }
    return { type, fields: { ...fields, ...(this.#callId !== undefined && { call_id: this.#callId }) } }
  }
}
