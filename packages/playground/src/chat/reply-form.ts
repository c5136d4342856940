import { computed } from '@preact/signals'
import { session, settings } from '../settings.ts'

interface Tool {
  readonly type: 'function'
  readonly name: string
}

/**
 * Functions as a session takes them, of a JSON array of them; as `/v1/chat/completions` has them they are understood, too.
 * @throws Error what is wrong with the text, for people
 */
export function parseTools(text: string): Tool[] {
  const value: unknown = JSON.parse(text)
  if (!Array.isArray(value) || value.length === 0) throw new Error('It must be an array of functions.')
  return value.map((entry: unknown, i): Tool => {
    const called = isObject(entry) && isObject(entry.function) ? entry.function : entry
    if (!isObject(called) || typeof called.name !== 'string') throw new Error(`Function ${i + 1} has no name.`)
    return { ...called, type: 'function', name: called.name }
  })
}

/** @throws Error what is wrong with the text, for people */
export function parseSchema(text: string): object {
  const value: unknown = JSON.parse(text)
  if (!isObject(value)) throw new Error('It must be an object.')
  return value
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The tools that the model may call. */
export const tools = computed((): Tool[] => (settings.value.tools === '' ? [] : parseTools(settings.value.tools)))

/** Settings of a chat's session: also what replies must look like, and what they may call. */
export const chatSession = computed(() => {
  const { schema, toolChoice } = settings.value
  const hasTools = tools.value.length > 0
  return {
    ...session.value,
    response_format:
      schema === ''
        ? null
        : { type: 'json_schema', json_schema: { name: 'reply', strict: true, schema: parseSchema(schema) } },
    tools: hasTools ? tools.value : null,
    tool_choice: hasTools ? toolChoice : null,
    // Who must call, and has no end of it, would call on and on.
    parallel_tool_calls: hasTools && toolChoice === 'required' ? false : null,
  }
})
