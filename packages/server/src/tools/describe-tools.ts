import type { ChatMessage } from '@incipit/engine/api'
import type { Tool } from './tool.ts'
import type { ToolFormat } from './tool-format.ts'

/**
 * A conversation with tools for a template that knows none: a system message describes them, calls and their results are
 * text.
 * @param template some take no system message: then the first message of the user begins with it
 */
export function withDescribedTools(
  messages: readonly ChatMessage[],
  tools: readonly Tool[],
  format: ToolFormat,
  template = '',
): ChatMessage[] {
  const plain: ChatMessage[] = []
  for (const [i, message] of messages.entries()) {
    const { toolCalls, toolCallId, ...rest } = message
    if (message.role === 'tool') {
      const result = `<tool_response>\n${message.content}\n</tool_response>`
      // Some templates want the roles to take turns.
      const last = messages[i - 1]?.role === 'tool' ? plain.pop() : undefined
      plain.push({ role: 'user', content: last ? `${last.content}\n${result}` : result })
    } else if (toolCalls?.length) {
      const calls = toolCalls.map(({ name, arguments: json }) => `${format.begin(name)}${json}${format.end}`)
      plain.push({ ...rest, content: [rest.content, ...calls].filter((text) => text !== '').join('\n') })
    } else plain.push(rest)
  }
  const description = describe(tools, format)
  const [first, ...others] = plain
  const takesSystem = !template.includes('System role not supported')
  if (first?.role === (takesSystem ? 'system' : 'user')) {
    const [above, below] = takesSystem ? [first.content, description] : [description, first.content]
    return [{ ...first, content: `${above}\n\n${below}` }, ...others]
  }
  return takesSystem ? [{ role: 'system', content: description }, ...plain] : plain
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
