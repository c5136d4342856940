import type { ChatMessage } from '@incipit/engine/api'
import { uncarried } from './carried-reasoning.ts'
import type { Item, MessageItem, ReasoningItem } from './item.ts'

/**
 * The messages of a conversation as chat templates know them: what the assistant thought, said and called in one go is one
 * message, and so are the instructions and the system messages that the input begins with, because many templates take
 * one only.
 */
export function messagesOf(items: readonly Item[], instructions: string | null | undefined): ChatMessage[] {
  return joinedMessages(items.map(messageOf), instructions)
}

/** The same of messages that belong to one item each. */
export function joinedMessages(single: readonly ChatMessage[], instructions: string | null | undefined): ChatMessage[] {
  const messages: ChatMessage[] = instructions ? [{ role: 'system', content: instructions }] : []
  for (const next of single) {
    const last = messages.at(-1)
    const joined = last && join(last, next, messages.length === 1)
    if (joined) messages[messages.length - 1] = joined
    else messages.push(next)
  }
  return messages
}

/** An item as a message. */
export function messageOf(item: Item): ChatMessage {
  switch (item.type) {
    case 'message':
      return { role: item.role === 'developer' ? 'system' : item.role, content: textOf(item) }
    case 'reasoning': {
      const reasoning = reasoningOf(item)
      return { role: 'assistant', content: '', ...(reasoning && { reasoning }) }
    }
    case 'function_call': {
      const { call_id: id, name, arguments: json } = item
      return { role: 'assistant', content: '', toolCalls: [{ id, name, arguments: json }] }
    }
    case 'function_call_output':
      return { role: 'tool', content: item.output, toolCallId: item.call_id }
  }
}

/** Two messages as one, or undefined where they are two. */
function join(last: ChatMessage, next: ChatMessage, first: boolean): ChatMessage | undefined {
  if (first && last.role === 'system' && next.role === 'system') {
    return { ...last, content: `${last.content}\n\n${next.content}` }
  }
  if (last.role !== 'assistant' || next.role !== 'assistant') return undefined
  // The order within a message: thoughts, words, calls.
  const calls = [...(last.toolCalls ?? []), ...(next.toolCalls ?? [])]
  if (next.reasoning !== undefined && (last.content !== '' || last.toolCalls)) return undefined
  if (next.content !== '' && (last.content !== '' || last.toolCalls)) return undefined
  const reasoning = [last.reasoning, next.reasoning].filter((text) => text !== undefined).join('\n\n')
  return {
    ...last,
    content: last.content + next.content,
    ...(reasoning && { reasoning }),
    ...(calls.length > 0 && { toolCalls: calls }),
  }
}

function textOf({ content }: MessageItem): string {
  return content.map(({ text }) => text).join('')
}

function reasoningOf({ content, summary, encrypted_content: carried }: ReasoningItem): string {
  if (content.length > 0) return content.map(({ text }) => text).join('')
  return (carried && uncarried(carried)) || summary.map(({ text }) => text).join('\n\n')
}
