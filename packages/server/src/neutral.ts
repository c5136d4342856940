import { z } from 'zod'
import { describedAs } from './described-as.ts'
import { unsupported } from './validate.ts'

/**
 * A parameter this server does not honour: absent, null and the values that leave the reply as it is pass, everything
 * else is refused as `unsupported`. Nobody reads it.
 *
 * @param others passing values that are no literals
 */
export function neutral(values: readonly (string | number | boolean)[], ...others: readonly z.ZodType[]) {
  const hint = values.length === 0 ? '' : ` or set it to ${values.map((value) => JSON.stringify(value)).join(' or ')}`
  const literals = z.literal([null, ...values])
  const passing = others.length === 0 ? literals : z.union([literals, ...others])
  return describedAs(
    z
      .unknown()
      .refine((value) => passing.safeParse(value).success, {
        error: `is not supported by this server; leave it out${hint}`,
        ...unsupported,
      })
      .transform((): undefined => undefined)
      .optional(),
    passing.describe('Not supported: only values that ask for nothing.'),
  )
}

/** `[]` and `{}`. */
export const empty = z.union([z.array(z.unknown()).max(0), z.strictObject({})])
