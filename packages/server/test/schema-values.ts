import fc from 'fast-check'
import type { JsonSchema } from './openapi.ts'

/** Values that parsers and arithmetic are known to trip over. */
export const awkward = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(
    ...[null, true, 0, -0, -1, 1, 2, 7.5, 1e-320, 1e308, 2 ** 31, 2 ** 53, -(2 ** 63)],
    ...['', '\u0000', '\ud800', 'Once\u0000upon', '<|im_end|>', '{{ 7 * 7 }}', '🦜'.repeat(40)],
    ...[[], {}, [[]], [0], [511], [512], [49_151], [null]],
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
)

const texts = fc.oneof(fc.constantFrom('Once', 'a b', 'x'), fc.string({ maxLength: 12 }))

/**
 * Values that a JSON schema describes. Of what may be left out, most is.
 *
 * @param schemas what it refers to by name
 */
export function valuesOf(
  schema: JsonSchema | boolean,
  schemas: Readonly<Record<string, JsonSchema>> = {},
): fc.Arbitrary<unknown> {
  if (typeof schema === 'boolean') return fc.jsonValue({ maxDepth: 1 })
  const of: Of = (inner) => valuesOf(inner, schemas)
  if (schema.$ref !== undefined) return of(schemas[schema.$ref.replace('#/components/schemas/', '')]!)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (schema.const !== undefined) return fc.constant(schema.const)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices !== undefined) return fc.oneof(...choices.map(of))
  if (schema.allOf !== undefined) {
    return fc.tuple(...schema.allOf.map(of)).map((parts) => Object.assign({}, ...(parts as object[])) as object)
  }
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => of({ ...schema, type })))
  switch (schema.type) {
    case 'object':
      return objects(schema, of)
    case 'array':
      return arrays(schema, of)
    case 'string':
      return strings(schema)
    case 'integer':
      return fc.integer(range(schema))
    case 'number':
      return numbers(schema)
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    default:
      return fc.jsonValue({ maxDepth: 1 })
  }
}

type Of = (schema: JsonSchema | boolean) => fc.Arbitrary<unknown>

/** Without these a request says nothing, though it may be in another one of them that it does. */
const usual = ['messages', 'prompt', 'input', 'content']

function objects({ properties = {}, required = [], additionalProperties }: JsonSchema, of: Of): fc.Arbitrary<object> {
  const optional = Object.keys(properties).filter((name) => !required.includes(name))
  const likely = optional.filter((name) => usual.includes(name))
  const more =
    typeof additionalProperties === 'object'
      ? fc.dictionary(texts, of(additionalProperties), { maxKeys: 2 })
      : fc.constant({})
  const few = fc.subarray(optional, { maxLength: Math.min(3, optional.length) })
  const chosen = fc.tuple(few, fc.subarray(likely), fc.subarray(likely))
  return fc.tuple(chosen, more).chain(([chosen, more]) => {
    const names = new Set([...required, ...chosen.flat()])
    const members = [...names].map((name) => [name, of(properties[name] ?? {})] as const)
    return fc.record(Object.fromEntries(members)).map((record) => ({ ...more, ...record }))
  })
}

function arrays({ items, prefixItems, minItems = 0, maxItems = 3 }: JsonSchema, of: Of): fc.Arbitrary<unknown[]> {
  if (prefixItems !== undefined) return fc.tuple(...prefixItems.map(of))
  const element = of(Array.isArray(items) ? true : (items ?? true))
  return fc.array(element, { minLength: minItems, maxLength: Math.max(minItems, Math.min(maxItems, 3)) })
}

function strings({ minLength = 0, maxLength = 12, pattern }: JsonSchema): fc.Arbitrary<string> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern))
  const most = Math.max(minLength, Math.min(maxLength, 12))
  return minLength === 0 ? texts : fc.string({ minLength, maxLength: most })
}

const mostWhole = 2 ** 31

function range({ minimum = -mostWhole, maximum = mostWhole }: JsonSchema): { min: number; max: number } {
  return { min: Math.max(minimum, -mostWhole), max: Math.min(maximum, mostWhole) }
}

function numbers(schema: JsonSchema): fc.Arbitrary<number> {
  const above = typeof schema.exclusiveMinimum === 'number' ? schema.exclusiveMinimum : undefined
  const below = typeof schema.exclusiveMaximum === 'number' ? schema.exclusiveMaximum : undefined
  return fc.double({
    min: schema.minimum ?? above ?? -1e6,
    max: schema.maximum ?? below ?? 1e6,
    noNaN: true,
    minExcluded: above !== undefined,
    maxExcluded: below !== undefined,
  })
}

/** The same value with up to two of its parts replaced, removed or put where they do not belong. */
export function damaged(value: unknown): fc.Arbitrary<unknown> {
  const damage = fc.tuple(fc.nat(), fc.constantFrom('replace', 'remove', 'wrap', 'repeat'), awkward)
  return fc.array(damage, { minLength: 0, maxLength: 2 }).map((damages) => {
    // Through an object around it, so that the whole of it may be hit.
    const root = { value: structuredClone(value) }
    for (const [at, how, other] of damages) {
      const places = placesIn(root)
      const [holder, key] = places[at % places.length]!
      const part = structuredClone(other)
      if (how === 'replace') holder[key] = part
      else if (how === 'wrap') holder[key] = [holder[key]]
      else if (how === 'repeat') holder[key] = [holder[key], structuredClone(holder[key]), part]
      else if (holder !== root) delete holder[key]
    }
    return root.value
  })
}

type Holder = Record<string, unknown>

/** Every member of every object and array in it, by what holds it and how it is called there. */
function placesIn(holder: Holder): [Holder, string][] {
  return Object.keys(holder).flatMap((key): [Holder, string][] => {
    const inner = holder[key]
    const within = typeof inner === 'object' && inner !== null ? placesIn(inner as Holder) : []
    return [[holder, key], ...within]
  })
}
