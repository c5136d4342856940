import { ConstraintError } from './constraint-error.ts'
import { enforced, patterns, unenforced } from './formats.ts'

type Schema = Readonly<Record<string, unknown>>

// One way to write white space: models loop in it where any amount is allowed, and longer stretches are forced.
const separators = { whitespace_flexible: false, item_separator: ', ', key_separator: ': ' }

/**
 * A schema as llguidance takes it. Options of its own may stand in the schema's `x-guidance`.
 * @throws ConstraintError
 */
export function jsonSchemaSource(schema: unknown, lenient = false): string {
  if (schema !== true && schema !== false && !isObject(schema)) {
    throw new ConstraintError('a schema is an object or a boolean', '')
  }
  const whole: Schema = schema === true ? {} : schema === false ? { not: {} } : schema
  if (schema === false) throw new ConstraintError('the schema is false: nothing fulfils it', '')
  const options = { ...separators, ...(lenient && { lenient, coerce_one_of: true }), ...objectOf(whole['x-guidance']) }
  try {
    return JSON.stringify({ ...simplified(whole, lenient), 'x-guidance': options })
  } catch (error) {
    if (error instanceof RangeError) throw new ConstraintError('the schema is nested too deeply', '')
    throw new ConstraintError(`the schema is no JSON: ${error instanceof Error ? error.message : error}`, '')
  }
}

/**
 * Where in a schema the reason is that it does not compile: the deepest part that fails with the same words by itself.
 * @param problem what is said of a schema; undefined where it compiles
 */
export function locate(schema: unknown, problem: (schema: unknown) => string | undefined): string {
  // Where it is in a large schema is not worth the time of other checks.
  let tries = 100
  const until = performance.now() + 200
  const root = objectOf(schema)
  const definitions = { $defs: root.$defs, definitions: root.definitions }
  const message = problem(schema)
  const path: string[] = []
  for (let at: Schema | undefined = root; at !== undefined; ) {
    let deeper: Schema | undefined
    for (const [where, part] of parts(at)) {
      if (tries-- <= 0 || performance.now() > until) return path.join('.')
      if (!isObject(part) || problem({ ...definitions, ...part }) !== message) continue
      path.push(where)
      deeper = part
      break
    }
    at = deeper
  }
  return path.join('.')
}

const bySchema = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'] as const
const one = [
  'additionalProperties',
  'items',
  'additionalItems',
  'contains',
  'propertyNames',
  'not',
  'if',
  'then',
  'else',
  'unevaluatedItems',
  'unevaluatedProperties',
] as const
const lists = ['allOf', 'anyOf', 'oneOf', 'prefixItems', 'items'] as const

/** Keywords that say nothing without one of others. */
const dependent: readonly (readonly [keyword: string, needs: readonly string[]])[] = [
  ['if', ['then', 'else']],
  ['then', ['if']],
  ['else', ['if']],
  ['minContains', ['contains']],
  ['maxContains', ['contains']],
]

/** The schemas in a schema, one level down. */
function* parts(schema: Schema): Iterable<[path: string, schema: unknown]> {
  for (const key of bySchema) {
    for (const [name, part] of Object.entries(objectOf(schema[key]))) yield [`${key}.${name}`, part]
  }
  for (const key of one) if (isObject(schema[key])) yield [key, schema[key]]
  for (const key of lists) {
    const list = schema[key]
    if (Array.isArray(list)) for (const [i, part] of list.entries()) yield [`${key}[${i}]`, part]
  }
}

/** The same schema without what says nothing. */
function simplified(schema: Schema, lenient: boolean): Schema {
  const mapped: Record<string, unknown> = { ...schema }
  for (const [key, needs] of dependent) if (needs.every((other) => !(other in schema))) delete mapped[key]
  for (const key of ['unevaluatedItems', 'unevaluatedProperties']) if (schema[key] === true) delete mapped[key]
  for (const key of bySchema) {
    if (!isObject(schema[key])) continue
    const entries = Object.entries(schema[key]).map(([name, part]) => [name, inner(part, lenient)])
    mapped[key] = Object.fromEntries(entries)
  }
  for (const key of one) if (isObject(schema[key])) mapped[key] = inner(schema[key], lenient)
  for (const key of lists) {
    const list = schema[key]
    if (Array.isArray(list)) mapped[key] = list.map((part) => inner(part, lenient))
  }
  const { format } = schema
  if (typeof format !== 'string' || enforced.has(format)) return mapped
  if (unenforced.has(format) && !lenient) return mapped
  delete mapped.format
  const pattern = patterns.get(format)
  if (pattern === undefined) return mapped
  if (!('pattern' in mapped)) return { ...mapped, pattern }
  return { ...mapped, allOf: [...(Array.isArray(mapped.allOf) ? mapped.allOf : []), { pattern }] }
}

function inner(part: unknown, lenient: boolean): unknown {
  return isObject(part) ? simplified(part, lenient) : part
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function objectOf(value: unknown): Schema {
  return isObject(value) ? value : {}
}
