import type { ChatMessage } from '@incipit/engine/api'
import { z } from 'zod'
import { assistantContent, systemContent, textOf, userContent } from './content-block.ts'

/** A message of `/v1/messages`. */
export const message = z.discriminatedUnion(
  'role',
  [
    z.object({ role: z.literal('user'), content: userContent }),
    z.object({ role: z.literal('assistant'), content: assistantContent }),
    z.object({ role: z.literal('system'), content: systemContent }),
  ],
  'must be a message with the role "user", "assistant" or "system"',
)

/** What a message is in OpenAI's terms: results of tools are messages of their own there. */
export function chatMessagesOf({ role, content }: z.infer<typeof message>): ChatMessage[] {
  if (typeof content === 'string') return [{ role, content }]
  return role === 'user'
    ? userMessages(content)
    : role === 'system'
      ? [{ role, content: textOf(content) }]
      : [assistantMessage(content)]
}

function userMessages(blocks: Exclude<z.infer<typeof userContent>, string>): ChatMessage[] {
  const messages: ChatMessage[] = []
  for (const block of blocks) {
    const last = messages.at(-1)
    if (block.type === 'tool_result') {
      const content = textOf(block.content ?? '')
      // Templates know no failed results: the model is to read that it is one.
      messages.push({
        role: 'tool',
        toolCallId: block.tool_use_id,
        content: block.is_error ? `Error: ${content}` : content,
      })
    } else if (last?.role === 'user') last.content += `\n${block.text}`
    else messages.push({ role: 'user', content: block.text })
  }
  return messages.length > 0 ? messages : [{ role: 'user', content: '' }]
}

function assistantMessage(blocks: Exclude<z.infer<typeof assistantContent>, string>): ChatMessage {
  const reasoning = blocks.flatMap((block) => (block.type === 'thinking' ? block.thinking : [])).join('')
  const toolCalls = blocks.flatMap((block) =>
    block.type === 'tool_use' ? { id: block.id, name: block.name, arguments: JSON.stringify(block.input ?? {}) } : [],
  )
  return {
    role: 'assistant',
    content: blocks.flatMap((block) => (block.type === 'text' ? block.text : [])).join(''),
    ...(reasoning !== '' && { reasoning }),
    ...(toolCalls.length > 0 && { toolCalls }),
  }
}
