import { computed } from '@preact/signals'
import { settings } from '../settings.ts'

interface Tool {
  readonly type: 'function'
  readonly function: { readonly name: string }
}

/**
 * Functions as the API takes them, of a JSON array of them; without the `type` around them they are understood, too.
 * @throws Error what is wrong with the text, for people
 */
export function parseTools(text: string): Tool[] {
  const value: unknown = JSON.parse(text)
  if (!Array.isArray(value) || value.length === 0) throw new Error('It must be an array of functions.')
  return value.map((entry: unknown, i): Tool => {
    const called = isObject(entry) && isObject(entry.function) ? entry.function : entry
    if (!isObject(called) || typeof called.name !== 'string') throw new Error(`Function ${i + 1} has no name.`)
    return { type: 'function', function: { ...called, name: called.name } }
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

/** What replies must look like, and what they may call, as the API spells it. Undefined: any text, and nothing. */
export const replyForm = computed((): Record<string, unknown> | undefined => {
  const { schema, toolChoice } = settings.value
  if (schema === '' && tools.value.length === 0) return undefined
  return {
    ...(schema !== '' && {
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'reply', strict: true, schema: parseSchema(schema) },
      },
    }),
    ...(tools.value.length > 0 && {
      tools: tools.value,
      tool_choice: toolChoice,
      // Who must call, and has no end of it, would call on and on.
      ...(toolChoice === 'required' && { parallel_tool_calls: false }),
    }),
  }
})

export const exampleSchema = `{
  "type": "object",
  "properties": {
    "answer": { "type": "string" },
    "sure": { "type": "boolean" }
  },
  "required": ["answer", "sure"]
}`

export const exampleTools = `[
  {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
      "type": "object",
      "properties": { "city": { "type": "string" } },
      "required": ["city"]
    }
  }
]`
