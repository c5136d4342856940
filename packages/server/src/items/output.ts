import type { TokenLogprobs } from '@incipit/engine/api'
import { tokenLogprobs } from '../format.ts'
import type { Part } from '../reply/part.ts'
import { carried } from './carried-reasoning.ts'
import { type FunctionCallItem, type Item, itemId, type MessageItem, type ReasoningItem } from './item.ts'

/** An event of a stream before it is numbered. */
export interface OutputEvent {
  readonly type: string
  readonly item?: Item
  readonly item_id?: string
  readonly part?: { readonly type: string; readonly text: string }
  readonly [member: string]: unknown
}

export interface OutputOptions {
  /** Reasoning is told as a summary of itself: some clients show nothing else. */
  readonly summary: boolean
  /** Reasoning comes also in the form that clients carry to the next turn. */
  readonly carry: boolean
}

type OpenItem =
  | { readonly type: 'message'; readonly id: string; text: string; logprobs: object[] }
  | { readonly type: 'reasoning'; readonly id: string; text: string }
  | {
      readonly type: 'function_call'
      readonly id: string
      text: string
      readonly callId: string
      readonly name: string
    }

/**
 * The output of a response: parts of a reply become items, and the events that tell of them in OpenAI's order. A stream is
 * these events, a whole answer what they add up to.
 */
export class Output {
  readonly #options: OutputOptions
  readonly #items: Item[] = []
  #open: OpenItem | undefined

  constructor(options: OutputOptions) {
    this.#options = options
  }

  /** Items that are complete. */
  get items(): readonly Item[] {
    return this.#items
  }

  /** @param part content without text is a message that says nothing */
  *take(part: Part, logprobs: readonly TokenLogprobs[] = []): Generator<OutputEvent> {
    switch (part.type) {
      case 'content':
        yield* this.#message(part.text, tokenLogprobs(logprobs))
        return
      case 'reasoning':
        yield* this.#reasoning(part.text)
        return
      case 'call':
        yield* this.close('completed')
        yield* this.#begin({
          type: 'function_call',
          id: itemId('function_call'),
          text: '',
          callId: part.id,
          name: part.name,
        })
        return
      case 'arguments':
        this.#open!.text += part.text
        yield { type: 'response.function_call_arguments.delta', ...this.#place(), delta: part.text }
        return
      case 'call_end':
        yield* this.#close('completed')
        return
    }
  }

  /**
   * Ends what is open. A call whose arguments are not whole gets no end and is no part of the output: clients would run it.
   */
  *close(status: 'completed' | 'incomplete'): Generator<OutputEvent> {
    if (this.#open?.type === 'function_call') this.#open = undefined
    yield* this.#close(status)
  }

  *#message(text: string, logprobs: object[]): Generator<OutputEvent> {
    if (this.#open?.type !== 'message') {
      yield* this.close('completed')
      yield* this.#begin({ type: 'message', id: itemId('message'), text: '', logprobs: [] })
      const part = { type: 'output_text', text: '', annotations: [], logprobs: [] }
      yield { type: 'response.content_part.added', ...this.#place(), content_index: 0, part }
    }
    if (text === '') return
    const open = this.#open as Extract<OpenItem, { type: 'message' }>
    open.text += text
    open.logprobs.push(...logprobs)
    const at = { ...this.#place(), content_index: 0 }
    yield { type: 'response.output_text.delta', ...at, delta: text, logprobs }
  }

  *#reasoning(text: string): Generator<OutputEvent> {
    const { summary } = this.#options
    if (this.#open?.type !== 'reasoning') {
      yield* this.close('completed')
      yield* this.#begin({ type: 'reasoning', id: itemId('reasoning'), text: '' })
      yield summary
        ? this.#ofReasoning('response.reasoning_summary_part.added', { part: { type: 'summary_text', text: '' } })
        : this.#ofReasoning('response.content_part.added', { part: { type: 'reasoning_text', text: '' } })
    }
    this.#open!.text += text
    yield this.#ofReasoning(`response.reasoning_${summary ? 'summary_' : ''}text.delta`, { delta: text })
  }

  *#begin(open: OpenItem): Generator<OutputEvent> {
    this.#open = open
    const item = this.#item(open, 'in_progress')
    yield { type: 'response.output_item.added', output_index: this.#items.length, item }
  }

  *#close(status: 'completed' | 'incomplete'): Generator<OutputEvent> {
    const open = this.#open
    if (open === undefined) return
    const { text } = open
    if (open.type === 'function_call') {
      yield {
        type: 'response.function_call_arguments.done',
        ...this.#place(),
        name: open.name,
        arguments: text,
      }
    } else if (open.type === 'message') {
      const { logprobs } = open
      const at = { ...this.#place(), content_index: 0 }
      yield { type: 'response.output_text.done', ...at, text, logprobs }
      const part = { type: 'output_text', text, annotations: [], logprobs }
      yield { type: 'response.content_part.done', ...at, part }
    } else if (this.#options.summary) {
      yield this.#ofReasoning('response.reasoning_summary_text.done', { text })
      yield this.#ofReasoning('response.reasoning_summary_part.done', { part: { type: 'summary_text', text } })
    } else {
      yield this.#ofReasoning('response.reasoning_text.done', { text })
      yield this.#ofReasoning('response.content_part.done', { part: { type: 'reasoning_text', text } })
    }
    const item = this.#item(open, status)
    yield { type: 'response.output_item.done', output_index: this.#items.length, item }
    this.#items.push(item)
    this.#open = undefined
  }

  #ofReasoning(type: string, fields: object): OutputEvent {
    const index = this.#options.summary ? { summary_index: 0 } : { content_index: 0 }
    return { type, ...this.#place(), ...index, ...fields }
  }

  #place() {
    return { item_id: this.#open!.id, output_index: this.#items.length }
  }

  #item(open: OpenItem, status: Item['status']): Item {
    const begins = status === 'in_progress'
    const { id, text } = open
    if (open.type === 'message') {
      const { logprobs } = open
      const content = begins ? [] : [{ type: 'output_text', text, annotations: [], logprobs } as const]
      return { id, type: 'message', status, role: 'assistant', content } satisfies MessageItem
    }
    if (open.type === 'function_call') {
      const { callId, name } = open
      return { id, type: 'function_call', status, call_id: callId, name, arguments: text } satisfies FunctionCallItem
    }
    const { summary, carry } = this.#options
    return {
      id,
      type: 'reasoning',
      status,
      summary: summary && !begins ? [{ type: 'summary_text', text }] : [],
      content: summary || begins ? [] : [{ type: 'reasoning_text', text }],
      ...(carry && !begins && { encrypted_content: carried(text) }),
    } satisfies ReasoningItem
  }
}
