import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'

// JSON schemas for tests, as applications write them, and as somebody writes them who means harm.

const names = ['name', 'age', 'kind', 'é', 'a b', 'x-y', 'q"q']
const name = fc.constantFrom(...names)
const bound = fc.integer({ min: -1000, max: 1000 })
const texts = fc.string({ maxLength: 6 })
const scalar = fc.oneof(texts, fc.integer(), fc.boolean(), fc.constant(null), fc.constantFrom(0.5, -3.25))

const leaf: fc.Arbitrary<object> = fc.oneof(
  fc
    .tuple(fc.nat(4), fc.nat(6))
    .map(([minLength, more]) => ({ type: 'string', minLength, maxLength: minLength + more })),
  fc.constantFrom(
    { type: 'string', pattern: '^[A-Z][a-z]{1,8}$' },
    { type: 'string', pattern: '\\d{3}-\\d{2}' },
    { type: 'string', format: 'date' },
    { type: 'string', format: 'uuid' },
    { type: 'string', format: 'ipv4' },
    { type: 'boolean' },
    { type: 'null' },
    { type: ['string', 'null'], maxLength: 5 },
    { type: 'number', minimum: 0, exclusiveMaximum: 1 },
    { type: 'integer', multipleOf: 7, minimum: 0, maximum: 700 },
  ),
  fc.tuple(bound, fc.nat(500)).map(([minimum, more]) => ({ type: 'integer', minimum, maximum: minimum + more })),
  fc.array(scalar, { minLength: 1, maxLength: 5 }).map((values) => ({ enum: values })),
  scalar.map((value) => ({ const: value })),
)

const trees: fc.Arbitrary<object> = fc.letrec<{ schema: object }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    leaf,
    fc.tuple(tie('schema'), fc.nat(2), fc.nat(3)).map(([items, minItems, more]) => ({
      type: 'array',
      items,
      minItems,
      maxItems: minItems + more,
    })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((prefixItems) => ({
      type: 'array',
      prefixItems,
      items: false,
      minItems: prefixItems.length,
    })),
    fc
      .tuple(fc.uniqueArray(fc.tuple(name, tie('schema')), { selector: ([key]) => key, maxLength: 4 }), fc.nat(15))
      .map(([properties, which]) => ({
        type: 'object',
        properties: Object.fromEntries(properties),
        required: properties.map(([key]) => key).filter((_, i) => (which >> i) & 1),
        additionalProperties: false,
      })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
})).schema

/** Schemas that can all be enforced and fulfilled, a few levels deep; one in four is a list that refers to itself. */
export const schemas: fc.Arbitrary<object> = fc.oneof(
  { weight: 3, arbitrary: trees },
  trees.map((inner) => ({
    $ref: '#/$defs/list',
    $defs: {
      list: {
        type: 'object',
        properties: { value: inner, next: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/list' }] } },
        required: ['value', 'next'],
        additionalProperties: false,
      },
    },
  })),
)

const nested = (depth: number): object => {
  let schema: object = { type: 'string' }
  for (let i = 0; i < depth; i++) schema = { type: 'object', properties: { a: schema }, required: ['a'] }
  return schema
}
const many = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i))
const wide = (count: number, inner: object) => ({
  type: 'object',
  properties: Object.fromEntries(many(count, (i) => [`property ${i}`, inner])),
  additionalProperties: false,
})

/** Schemas that want much: deep, wide, with catastrophic patterns, huge bounds and references in circles. */
export const hostile: fc.Arbitrary<object> = fc.oneof(
  // Deeper ones JSON.stringify cannot write.
  fc.integer({ min: 10, max: 2000 }).map(nested),
  fc.tuple(fc.integer({ min: 10, max: 3000 }), leaf).map(([count, inner]) => wide(count, inner)),
  fc.integer({ min: 10, max: 20_000 }).map((count) => ({ enum: many(count, (i) => `value ${i * 7919}`) })),
  fc.integer({ min: 2, max: 400 }).map((count) => ({ anyOf: many(count, (i) => wide(3, { const: i })) })),
  fc.integer({ min: 2, max: 60 }).map((count) => ({ allOf: many(count, (i) => wide(i + 1, { type: 'string' })) })),
  fc
    .constantFrom(
      '(a|b)*a(a|b){200}',
      '((a{0,100}){0,100}){0,100}',
      '(.*a){50}',
      '^(([a-z]+)*)*$',
      '(x+x+)+y',
      '[\\w\\s]{1,5000}end',
      `(${'a?'.repeat(40)})${'a'.repeat(40)}`,
      '(?=x)',
      '(',
      '\\p{L}{1,1000}\\p{N}{1,1000}',
    )
    .map((pattern) => ({ type: 'string', pattern })),
  fc
    .constantFrom(1e3, 1e6, 2 ** 31, 1e15)
    .chain((n) =>
      fc.constantFrom<object>(
        { type: 'array', items: { type: 'integer' }, minItems: n },
        { type: 'array', items: { type: 'array', maxItems: n }, maxItems: n },
        { type: 'string', minLength: n, maxLength: 2 * n },
        { type: 'integer', multipleOf: n - 1 },
        { type: 'object', minProperties: n },
        { type: 'number', minimum: -n, maximum: n },
      ),
    ),
  fc.constantFrom<object>(
    { $ref: '#' },
    { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
    { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/a' }] } } },
    { $ref: '#/$defs/a', $defs: { a: { allOf: [{ $ref: '#/$defs/a' }, { type: 'object' }] } } },
    { $ref: '#/$defs/a', $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' }, minItems: 2 } } },
    { $ref: 'https://example.com/schema.json' },
    { $ref: '#/nowhere' },
  ),
)

const ajv = addFormats.default(new Ajv2020({ strict: false, unicodeRegExp: true }))

/** Whether somebody else thinks that this text fulfils the schema. */
export function fulfils(schema: object, text: string): boolean {
  return ajv.compile(schema)(JSON.parse(text)) === true
}
