import { newId } from '../new-id.ts'

type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

interface InputText {
  readonly type: 'input_text'
  readonly text: string
}

interface OutputText {
  readonly type: 'output_text'
  readonly text: string
  readonly annotations: readonly []
  readonly logprobs: readonly object[]
}

export interface MessageItem {
  readonly id: string
  readonly type: 'message'
  readonly status: ItemStatus
  readonly role: 'user' | 'system' | 'developer' | 'assistant'
  readonly content: readonly (InputText | OutputText)[]
}

/** What a model thought: its own words in `content`, or in `summary` where the request asks for one. */
export interface ReasoningItem {
  readonly id: string
  readonly type: 'reasoning'
  readonly status: ItemStatus
  readonly summary: readonly { readonly type: 'summary_text'; readonly text: string }[]
  readonly content: readonly { readonly type: 'reasoning_text'; readonly text: string }[]
  readonly encrypted_content?: string | undefined
}

export interface FunctionCallItem {
  readonly id: string
  readonly type: 'function_call'
  readonly status: ItemStatus
  readonly call_id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
}

export interface FunctionCallOutputItem {
  readonly id: string
  readonly type: 'function_call_output'
  readonly status: ItemStatus
  readonly call_id: string
  readonly output: string
}

/** What a conversation is made of, as `/v1/responses` spells it. */
export type Item = MessageItem | ReasoningItem | FunctionCallItem | FunctionCallOutputItem

const prefixes = { message: 'msg', reasoning: 'rs', function_call: 'fc', function_call_output: 'fco' } as const

/** An id for an item of this type. */
export function itemId(type: Item['type']): string {
  return newId(prefixes[type])
}
