import { z } from 'zod'
import { describedAs } from '../described-as.ts'
import { neutral } from '../neutral.ts'
import { strictArray } from '../strict-array.ts'
import { textPart } from '../text-part.ts'
import { unsupported } from '../validate.ts'
import { uncarried } from './carried-reasoning.ts'
import {
  type FunctionCallItem,
  type FunctionCallOutputItem,
  itemId,
  type MessageItem,
  type ReasoningItem,
} from './item.ts'

/** An item that the server has told before, or was given before. */
export interface ItemReference {
  readonly type: 'item_reference'
  readonly id: string
}

function texts(...types: readonly string[]) {
  return z
    .union([z.string(), strictArray(textPart(...types), { least: 0 })], 'must be a string or an array of parts')
    .transform((content) => (typeof content === 'string' ? [content] : content))
}

const id = z.string().min(1, 'must not be empty').nullish()

/** What is the same in all. */
const head = { id, status: z.string().nullish() }

const written = z.object({
  ...head,
  role: z.enum(['user', 'system', 'developer']),
  content: texts('input_text'),
})

const said = z.object({
  ...head,
  role: z.literal('assistant'),
  content: texts('output_text', 'refusal', 'input_text'),
})

const message = z
  .discriminatedUnion('role', [written, said], 'must have the role user, system, developer or assistant')
  .transform((message): MessageItem => {
    const { role, content } = message
    return {
      id: message.id ?? itemId('message'),
      type: 'message',
      status: 'completed',
      role,
      content: content.map((text) =>
        role === 'assistant'
          ? { type: 'output_text', text, annotations: [], logprobs: [] }
          : { type: 'input_text', text },
      ),
    }
  })

const functionCall = z
  .object({
    ...head,
    call_id: z.string().min(1, 'must not be empty'),
    name: z.string().min(1, 'must not be empty'),
    arguments: z.string(),
    namespace: neutral([]),
  })
  .transform(
    (call): FunctionCallItem => ({
      id: call.id ?? itemId('function_call'),
      type: 'function_call',
      status: 'completed',
      call_id: call.call_id,
      name: call.name,
      arguments: call.arguments,
    }),
  )

const functionCallOutput = z
  .object({ ...head, call_id: z.string().min(1, 'must not be empty'), output: texts('input_text', 'output_text') })
  .transform(
    (result): FunctionCallOutputItem => ({
      id: result.id ?? itemId('function_call_output'),
      type: 'function_call_output',
      status: 'completed',
      call_id: result.call_id,
      output: result.output.join(''),
    }),
  )

const reasoning = z
  .object({
    ...head,
    summary: strictArray(textPart('summary_text'), { least: 0 }).nullish(),
    content: strictArray(textPart('reasoning_text'), { least: 0 }).nullish(),
    encrypted_content: z
      .string()
      .refine((content) => uncarried(content) !== undefined, 'was not made by this server: leave this item out')
      .nullish(),
  })
  .transform(
    (item): ReasoningItem => ({
      id: item.id ?? itemId('reasoning'),
      type: 'reasoning',
      status: 'completed',
      summary: (item.summary ?? []).map((text) => ({ type: 'summary_text', text })),
      content: (item.content ?? []).map((text) => ({ type: 'reasoning_text', text })),
      ...(item.encrypted_content ? { encrypted_content: item.encrypted_content } : {}),
    }),
  )

const reference = z
  .object({ id: z.string().min(1, 'must not be empty') })
  .transform(({ id }): ItemReference => ({ type: 'item_reference', id }))

const items = {
  message,
  function_call: functionCall,
  function_call_output: functionCallOutput,
  reasoning,
  item_reference: reference,
} as const

type InputItem = z.output<(typeof items)[keyof typeof items]>

const checkedItem = z.looseObject({ type: z.string().nullish() }).transform((item, context): InputItem => {
  // Messages may leave it out, and clients do leave references theirs.
  const type = item.type ?? ('role' in item || !('id' in item) ? 'message' : 'item_reference')
  if (!isKnown(type)) {
    const message = `items of the type ${JSON.stringify(type)} are not supported`
    context.addIssue({ code: 'custom', path: ['type'], message, ...unsupported })
    return z.NEVER
  }
  const result = (items[type] as z.ZodType<InputItem>).safeParse(item)
  if (result.success) return result.data
  // A complete issue is a raw one too, which its type does not say of the input.
  for (const issue of result.error.issues) context.issues.push({ ...issue, input: item } as z.core.$ZodRawIssue)
  return z.NEVER
})

const typed = Object.entries(items).map(([type, item]) => {
  const name = z.literal(type)
  return z.intersection(z.object({ type: type === 'message' ? name.nullish() : name }), item)
})

/** An item of `input`; each gets an id where it has none. */
export const inputItem = describedAs(checkedItem, z.union(typed))

function isKnown(type: string): type is keyof typeof items {
  return Object.hasOwn(items, type)
}
