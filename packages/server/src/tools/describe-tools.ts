import type { ChatMessage } from '@incipit/engine/api'
import type { Tool } from './tool.ts'
import type { ToolFormat } from './tool-format.ts'

/**
 * A conversation with tools for a template that knows none: a system message describes them, calls and their results are
 * text.
 */
export function withDescribedTools(
  messages: readonly ChatMessage[],
  tools: readonly Tool[],
  format: ToolFormat,
): ChatMessage[] {
  const plain = messages.map((message): ChatMessage => {
    const { toolCalls, toolCallId, ...rest } = message
    if (message.role === 'tool') {
      return { role: 'user', content: `<tool_response>\n${message.content}\n</tool_response>` }
    }
    if (!toolCalls?.length) return rest
    const calls = toolCalls.map(({ name, arguments: json }) => `${format.begin(name)}${json}${format.end}`)
    return { ...rest, content: [rest.content, ...calls].filter((text) => text !== '').join('\n') }
  })
  const [first, ...others] = plain
  const description = describe(tools, format)
  if (first?.role !== 'system') return [{ role: 'system', content: description }, ...plain]
  return [{ ...first, content: `${first.content}\n\n${description}` }, ...others]
}

function describe(tools: readonly Tool[], { begin, end }: ToolFormat): string {
  const list = tools.map(({ name, description, parameters }) =>
    JSON.stringify({ name, ...(description && { description }), parameters }),
  )
  return `You may call these tools:
<tools>
${list.join('\n')}
</tools>
To call one, write
${begin('NAME').replace('"NAME"', 'its name as a JSON string')}its arguments as a JSON object${end}
The result comes in <tool_response></tool_response>. Otherwise answer in plain words.`
}
