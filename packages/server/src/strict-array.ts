import { z } from 'zod'
import { describedAs } from './described-as.ts'

/**
 * An array whose check ends at the first bad element. zod's own array collects the complaints of all of them:
 * a body of a million wrong elements would hold the process for seconds.
 */
export function strictArray<T>(element: z.ZodType<T>, { least = 1, most = Number.POSITIVE_INFINITY } = {}) {
  const checked = z.array(z.unknown()).transform((items, context): T[] => {
    const complain = (message: string) => {
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    }
    if (items.length < least) return complain('must not be empty')
    if (items.length > most) return complain(`must have at most ${most} elements`)
    const taken: T[] = []
    for (const [index, item] of items.entries()) {
      const result = element.safeParse(item)
      if (!result.success) {
        for (const issue of result.error.issues) {
          // A complete issue is a raw one too, which its type does not say of the input.
          context.issues.push({ ...issue, input: item, path: [index, ...issue.path] } as z.core.$ZodRawIssue)
        }
        return z.NEVER
      }
      taken.push(result.data)
    }
    return taken
  })
  const shape = z.array(element).min(least)
  return describedAs(checked, Number.isFinite(most) ? shape.max(most) : shape)
}
