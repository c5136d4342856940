import { z } from 'zod'
import { describedAs } from './described-as.ts'
import { unsupported } from './validate.ts'

/** A part of a content that is given as an array. */
export const textPart = describedAs(
  z
    .looseObject({ type: z.string() })
    .refine((part) => part.type === 'text', {
      path: ['type'],
      error: 'only parts of the type "text" are supported',
      ...unsupported,
    })
    .refine((part) => part.type !== 'text' || typeof part.text === 'string', {
      path: ['text'],
      error: 'a part of the type "text" needs a string here',
    }),
  z.object({ type: z.literal('text'), text: z.string() }),
)

/** A content in one piece. */
export function textOf(content: string | readonly z.infer<typeof textPart>[]): string {
  return typeof content === 'string' ? content : content.map((part) => String(part.text)).join('')
}
