/**
 * The members of an answer that a client names, such as `content`, or `timings/prompt_n`, which comes under that name. What
 * there is not is left out.
 */
export function selected(answer: object, fields: readonly string[]): object {
  const found = fields.map((field) => [field, memberAt(answer, field.split('/'))] as const)
  return Object.fromEntries(found.filter(([, value]) => value !== undefined))
}

function memberAt(value: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return value
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return memberAt((value as Record<string, unknown>)[key], rest)
}
