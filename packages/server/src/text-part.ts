import { z } from 'zod'
import { describedAs } from './described-as.ts'
import { unsupported } from './validate.ts'

/** The text of a part of a content that is given as an array; a part has one of these types. */
export function textPart(...types: readonly string[]) {
  const member = (type: string) => (type === 'refusal' ? 'refusal' : 'text')
  const shapes = types.map((type) => z.object({ type: z.literal(type), [member(type)]: z.string() }))
  return describedAs(
    z
      .looseObject({ type: z.string() })
      .refine(({ type }) => types.includes(type), {
        path: ['type'],
        error: `only parts of the type ${types.map((type) => JSON.stringify(type)).join(' or ')} are supported here`,
        ...unsupported,
      })
      .transform((part, context): string => {
        const text = part[member(part.type)]
        if (typeof text === 'string') return text
        const message = `a part of the type "${part.type}" needs a string here`
        context.addIssue({ code: 'custom', path: [member(part.type)], message })
        return z.NEVER
      }),
    shapes.length === 1 ? shapes[0]! : z.union(shapes),
  )
}

/** A content in one piece. */
export function textOf(content: string | readonly string[]): string {
  return typeof content === 'string' ? content : content.join('')
}
