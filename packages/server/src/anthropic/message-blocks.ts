import type { Part } from '../reply/part.ts'

type Block =
  | { type: 'text'; text: string; citations: null }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown; caller: { type: 'direct' } }

type Delta =
  | { type: 'text_delta'; text: string }
  | { type: 'thinking_delta'; thinking: string }
  | { type: 'signature_delta'; signature: string }
  | { type: 'input_json_delta'; partial_json: string }

type BlockEvent =
  | { type: 'content_block_start'; index: number; content_block: Block }
  | { type: 'content_block_delta'; index: number; delta: Delta }
  | { type: 'content_block_stop'; index: number }

/** Clients leave a thought without a signature out of the next request. Nobody checks ours. */
const signature = 'unsigned'

/** Tells the parts of a reply as blocks: each begins, grows and ends before the next one begins. */
export class MessageBlocks {
  readonly #showsThinking: boolean
  #open: Block['type'] | undefined
  #index = -1

  /** @param showsThinking otherwise only that it thinks is told */
  constructor(showsThinking: boolean) {
    this.#showsThinking = showsThinking
  }

  part(part: Part): BlockEvent[] {
    switch (part.type) {
      case 'content':
        return [...this.#within('text'), this.#delta({ type: 'text_delta', text: part.text })]
      case 'reasoning': {
        const begun = this.#within('thinking')
        if (!this.#showsThinking) return begun
        return [...begun, this.#delta({ type: 'thinking_delta', thinking: part.text })]
      }
      case 'call':
        return [...this.end(), this.#begin(callBlock(part, {}))]
      case 'arguments':
        return [this.#delta({ type: 'input_json_delta', partial_json: part.text })]
      case 'call_end':
        return this.end()
    }
  }

  /** Ends the block that is open. */
  end(): BlockEvent[] {
    const open = this.#open
    if (open === undefined) return []
    this.#open = undefined
    const signed = open === 'thinking' ? [this.#delta({ type: 'signature_delta', signature })] : []
    return [...signed, { type: 'content_block_stop', index: this.#index }]
  }

  #within(type: 'text' | 'thinking'): BlockEvent[] {
    if (this.#open === type) return []
    return [...this.end(), this.#begin(type === 'text' ? textBlock('') : { type, thinking: '', signature: '' })]
  }

  #begin(block: Block): BlockEvent {
    this.#open = block.type
    return { type: 'content_block_start', index: ++this.#index, content_block: block }
  }

  #delta(delta: Delta): BlockEvent {
    return { type: 'content_block_delta', index: this.#index, delta }
  }
}

/** The blocks of a reply that is over. A call that was cut off is none. */
export function wholeBlocks(parts: readonly Part[], showsThinking: boolean): Block[] {
  const blocks: Block[] = []
  let call: { id: string; name: string } | undefined
  let json = ''
  for (const part of parts) {
    const last = blocks.at(-1)
    if (part.type === 'content') {
      if (last?.type === 'text') last.text += part.text
      else blocks.push(textBlock(part.text))
    } else if (part.type === 'reasoning') {
      const thinking = showsThinking ? part.text : ''
      if (last?.type === 'thinking') last.thinking += thinking
      else blocks.push({ type: 'thinking', thinking, signature })
    } else if (part.type === 'arguments') json += part.text
    else if (part.type === 'call') {
      call = part
      json = ''
    } else blocks.push(callBlock(call!, JSON.parse(json)))
  }
  return blocks
}

function textBlock(text: string): Block {
  return { type: 'text', text, citations: null }
}

function callBlock({ id, name }: { id: string; name: string }, input: unknown): Block {
  return { type: 'tool_use', id: id.replace(/^call_/, 'toolu_'), name, input, caller: { type: 'direct' } }
}
