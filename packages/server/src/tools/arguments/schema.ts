/** A JSON schema that is an object. */
export type Schema = Readonly<Record<string, unknown>>

/** A value's type as JSON schemas name it, but for `integer`, which is a `number`. */
type ValueType = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array'

/** References that lead to references. */
const maxDepth = 8

export function schemaOf(value: unknown): Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Schema) : {}
}

/** The schemas of an object's members, and whether each must be there. */
export function membersOf(schema: Schema): { name: string; schema: unknown; required: boolean }[] {
  const { properties, required } = schema
  const names: readonly unknown[] = Array.isArray(required) ? required : []
  return Object.entries(schemaOf(properties)).map(([name, member]) => ({
    name,
    schema: member,
    required: names.includes(name),
  }))
}

/** The same schema, or the one in `root` that it refers to. */
export function resolved(schema: unknown, root: Schema, depth = 0): Schema {
  const { $ref: reference } = schemaOf(schema)
  if (typeof reference !== 'string' || !reference.startsWith('#/') || depth > maxDepth) return schemaOf(schema)
  let found: unknown = root
  for (const key of reference.slice(2).split('/'))
    found = schemaOf(found)[key.replaceAll('~1', '/').replaceAll('~0', '~')]
  return resolved(found, root, depth + 1)
}

/** The types of the values that a schema allows; undefined where it does not say. */
export function typesOf(schema: unknown, root: Schema, depth = 0): ReadonlySet<ValueType> | undefined {
  const { type, enum: values, const: value, anyOf, oneOf } = resolved(schema, root)
  if (value !== undefined) return new Set([typeOf(value)])
  if (Array.isArray(values)) return new Set(values.map(typeOf))
  if (typeof type === 'string') return new Set([named(type)])
  if (Array.isArray(type)) return new Set(type.map((name) => named(String(name))))
  const cases = Array.isArray(anyOf) ? anyOf : Array.isArray(oneOf) ? oneOf : undefined
  if (cases === undefined || depth > maxDepth) return undefined
  const all = cases.map((one) => typesOf(one, root, depth + 1))
  return all.includes(undefined) ? undefined : new Set(all.flatMap((types) => [...types!]))
}

export function isOnly(types: ReadonlySet<ValueType> | undefined, ...allowed: readonly ValueType[]): boolean {
  return types !== undefined && types.size > 0 && [...types].every((type) => allowed.includes(type))
}

export function typeOf(value: unknown): ValueType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  const type = typeof value
  return type === 'string' || type === 'number' || type === 'boolean' ? type : 'object'
}

function named(type: string): ValueType {
  return type === 'integer' ? 'number' : (type as ValueType)
}

/** A regular expression (Rust's syntax) for the strings of a schema; undefined: any. */
export function stringPattern(schema: Schema): string | undefined {
  const { enum: values, const: value, minLength, maxLength } = schema
  const texts = value !== undefined ? [value] : Array.isArray(values) ? values : undefined
  if (texts) return texts.map((text) => escaped(String(text))).join('|')
  if (typeof minLength !== 'number' && typeof maxLength !== 'number') return undefined
  return `(?s:.{${minLength ?? 0},${maxLength ?? ''}})`
}

function escaped(text: string): string {
  return text
    .replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
}

/** Whether a pattern says all that a schema says of a string. */
export function isPlainString({ pattern, format, not, allOf }: Schema): boolean {
  return [pattern, format, not, allOf].every((keyword) => keyword === undefined)
}
