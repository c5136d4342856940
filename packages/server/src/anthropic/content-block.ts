import { z } from 'zod'
import { describedAs } from '../described-as.ts'
import { strictArray } from '../strict-array.ts'
import { unsupported } from '../validate.ts'

const text = z.object({ type: z.literal('text'), text: z.string() })

const anyBlock = z.looseObject({ type: z.string() })

/** Blocks of some types; another one is refused as `unsupported`, naming its `type`. */
function blocks<T>(known: z.ZodType<T>, types: readonly string[]) {
  const checked = anyBlock.refine(({ type }) => types.includes(type), {
    path: ['type'],
    error: `only blocks of the types ${types.join(', ')} are supported here`,
    ...unsupported,
  })
  const block = checked.pipe(known as z.ZodType<T, z.infer<typeof anyBlock>>)
  return strictArray(describedAs(block, known), { least: 0 })
}

const textBlocks = z.union([z.string(), blocks(text, ['text'])], 'must be a string or an array of text blocks')

const toolUse = z.object({
  type: z.literal('tool_use'),
  id: z.string().min(1),
  name: z.string().min(1),
  input: z.unknown(),
})

const toolResult = z.object({
  type: z.literal('tool_result'),
  tool_use_id: z.string().min(1),
  content: textBlocks.nullish(),
  is_error: z.boolean().nullish(),
})

const thinking = z.object({ type: z.literal('thinking'), thinking: z.string() })
/** Only who encrypted it can read it. */
const redacted = z.object({ type: z.literal('redacted_thinking') })

export const systemContent = textBlocks

export const userContent = z.union(
  [z.string(), blocks(z.discriminatedUnion('type', [text, toolResult]), ['text', 'tool_result'])],
  'must be a string or an array of blocks',
)

export const assistantContent = z.union(
  [
    z.string(),
    blocks(z.discriminatedUnion('type', [text, toolUse, thinking, redacted]), [
      'text',
      'tool_use',
      'thinking',
      'redacted_thinking',
    ]),
  ],
  'must be a string or an array of blocks',
)

type TextContent = z.infer<typeof textBlocks>

/** Blocks of one message are its paragraphs. */
export function textOf(content: TextContent): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n')
}
