import { z } from 'zod'
import { tokenLogprob } from '../answers/wire.ts'

const status = z.enum(['in_progress', 'completed', 'incomplete'])
const id = z.string()

export const outputText = z.strictObject({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()).max(0),
  logprobs: z.array(tokenLogprob),
})

export const summaryText = z.strictObject({ type: z.literal('summary_text'), text: z.string() })
export const reasoningText = z.strictObject({ type: z.literal('reasoning_text'), text: z.string() })

const inputText = z.strictObject({ type: z.literal('input_text'), text: z.string() })

/** An item of a conversation as it is told. */
export const item = z.discriminatedUnion('type', [
  z.strictObject({
    id,
    type: z.literal('message'),
    status,
    role: z.enum(['user', 'system', 'developer', 'assistant']),
    content: z.array(z.discriminatedUnion('type', [inputText, outputText])),
  }),
  z.strictObject({
    id,
    type: z.literal('reasoning'),
    status,
    summary: z.array(summaryText),
    content: z.array(reasoningText),
    encrypted_content: z.string().optional(),
  }),
  z.strictObject({
    id,
    type: z.literal('function_call'),
    status,
    call_id: z.string(),
    name: z.string(),
    arguments: z.string().describe('JSON.'),
  }),
  z.strictObject({ id, type: z.literal('function_call_output'), status, call_id: z.string(), output: z.string() }),
])
