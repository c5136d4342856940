import { type Constraint, IncipitError } from '@incipit/engine/api'
import { z } from 'zod'
import { neutral } from './neutral.ts'

/** What a reply must look like, and which field of the body says so. */
export interface DeclaredConstraint {
  readonly constraint: Constraint
  /** Path of the field in the body, such as `response_format.json_schema.schema`. */
  readonly param: string
  /** What it was made of together with others. */
  readonly form?: DeclaredConstraint
}

/** Says whether a constraint compiles, without holding anybody up: `ConstraintChecks` of @incipit/constraint is one. */
export interface ConstraintChecker {
  /** @throws Error with the `reason` and, in a schema, the `path` */
  check(constraint: Constraint): Promise<void>
}

const schema = z.union([z.record(z.string(), z.unknown()), z.boolean()], 'must be a JSON schema')
/** vLLM also takes a schema as its text. */
const schemaOrText = z.union([schema, z.string().transform(parsed)], 'must be a JSON schema')
const choices = z.array(z.string().min(1, 'must not be empty')).min(1, 'must not be empty')
const text = z.string().min(1, 'must not be empty')

const structuralTag = z.object({
  type: z.literal('structural_tag'),
  structures: z.array(z.object({ begin: text, schema, end: z.string() })).min(1, 'must not be empty'),
  triggers: z.array(text).min(1, 'must not be empty'),
})

const responseFormat = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text') }),
    // llama-server's form has the schema here.
    z.object({ type: z.literal('json_object'), schema: schema.nullish() }),
    z.object({
      type: z.literal('json_schema'),
      json_schema: z
        .object({
          name: z.string().nullish(),
          description: z.string().nullish(),
          schema: schema.nullish(),
          strict: z.boolean().nullish(),
        })
        .nullish(),
      schema: schema.nullish(),
    }),
    structuralTag,
  ],
  'must have the type text, json_object, json_schema or structural_tag',
)

/** vLLM's names of today. */
const structuredOutputs = z.object({
  json: schemaOrText.nullish(),
  regex: text.nullish(),
  choice: choices.nullish(),
  grammar: text.nullish(),
  json_object: z.boolean().nullish(),
  structural_tag: z.string().transform(parsed).pipe(structuralTag).nullish(),
  disable_fallback: z.boolean().nullish(),
  disable_any_whitespace: z.boolean().nullish(),
  disable_additional_properties: neutral([false]),
  whitespace_pattern: neutral([]),
})

/** Fields that say what a reply must look like; all their spellings mean the same few things. */
export const constraintParameters = {
  response_format: responseFormat.nullish(),
  // llama-server's names.
  json_schema: schema.nullish(),
  grammar: z.string().nullish(),
  grammar_lazy: neutral([false]),
  // vLLM's.
  structured_outputs: structuredOutputs.nullish(),
  guided_json: schemaOrText.nullish(),
  guided_regex: text.nullish(),
  guided_choice: choices.nullish(),
  guided_grammar: text.nullish(),
  guided_whitespace_pattern: neutral([]),
  // There is one.
  guided_decoding_backend: z.string().nullish(),
}

export type ConstraintFields = z.infer<z.ZodObject<typeof constraintParameters>>

/** At most one field may say what the reply must look like, and it must say it whole. */
export function refineConstraint(body: ConstraintFields, context: z.RefinementCtx): void {
  const { response_format: format } = body
  if (format?.type === 'json_schema' && !declared(format.json_schema?.schema ?? format.schema)) {
    const path = ['response_format', 'json_schema', 'schema']
    context.addIssue({ code: 'custom', path, message: 'is missing' })
  }
  const [, second] = declarations(body)
  if (second === undefined) return
  const message = 'says what the reply must look like a second time; use one of the fields'
  context.addIssue({ code: 'custom', path: [second.param], message })
}

const fieldNames = [
  'response_format',
  'json_schema',
  'grammar',
  'structured_outputs',
  'guided_json',
  'guided_regex',
  'guided_choice',
  'guided_grammar',
] as const satisfies readonly (keyof ConstraintFields)[]

/** Whether a body says anything of what the reply must look like, be it that it may look like anything (null). */
export function saysConstraint(body: ConstraintFields): boolean {
  return fieldNames.some((name) => body[name] !== undefined)
}

/** Of a body with other fields, those that say what the reply must look like. */
export function constraintFields(body: ConstraintFields): ConstraintFields {
  return {
    response_format: body.response_format ?? undefined,
    json_schema: body.json_schema ?? undefined,
    grammar: body.grammar ?? undefined,
    structured_outputs: body.structured_outputs ?? undefined,
    guided_json: body.guided_json ?? undefined,
    guided_regex: body.guided_regex ?? undefined,
    guided_choice: body.guided_choice ?? undefined,
    guided_grammar: body.guided_grammar ?? undefined,
  }
}

/** What a body declares. */
export function constraintOf(body: ConstraintFields): DeclaredConstraint | undefined {
  return declarations(body)[0]
}

function declarations(body: ConstraintFields): DeclaredConstraint[] {
  const { response_format: format, structured_outputs: outputs } = body
  const found: DeclaredConstraint[] = []
  const add = (param: string, constraint: Constraint) => found.push({ param, constraint })
  const json = (param: string, value: unknown, lenient?: boolean) => {
    if (declared(value)) add(param, { type: 'json_schema', schema: value, ...(lenient && { lenient }) })
  }
  const grammar = (param: string, value: string | null | undefined) => {
    if (value) add(param, { type: 'grammar', grammar: value })
  }
  if (format?.type === 'json_object') json('response_format.schema', format.schema ?? anyObject)
  if (format?.type === 'json_schema') {
    const inner = format.json_schema?.schema
    const param = `response_format${declared(inner) ? '.json_schema' : ''}.schema`
    // OpenAI enforces a schema as far as it can where `strict` is not asked for.
    json(param, inner ?? format.schema, format.json_schema?.strict !== true)
  }
  if (format?.type === 'structural_tag') add('response_format', tagOf(format))
  json('json_schema', body.json_schema)
  grammar('grammar', body.grammar)
  json('guided_json', body.guided_json)
  if (body.guided_regex) add('guided_regex', { type: 'regex', pattern: body.guided_regex })
  if (body.guided_choice) add('guided_choice', { type: 'choice', choices: body.guided_choice })
  grammar('guided_grammar', body.guided_grammar)
  if (outputs) {
    json('structured_outputs.json', outputs.json)
    if (outputs.regex) add('structured_outputs.regex', { type: 'regex', pattern: outputs.regex })
    if (outputs.choice) add('structured_outputs.choice', { type: 'choice', choices: outputs.choice })
    grammar('structured_outputs.grammar', outputs.grammar)
    if (outputs.json_object) json('structured_outputs.json_object', anyObject)
    if (outputs.structural_tag) add('structured_outputs.structural_tag', tagOf(outputs.structural_tag))
  }
  return found
}

const anyObject = { type: 'object' }

function tagOf({ structures, triggers }: z.infer<typeof structuralTag>): Constraint {
  return { type: 'structural_tag', tags: structures, triggers }
}

function declared(value: unknown): boolean {
  return value !== undefined && value !== null
}

function parsed(json: string, context: z.RefinementCtx): unknown {
  try {
    return JSON.parse(json)
  } catch {
    context.addIssue({ code: 'custom', message: 'is not JSON' })
    return z.NEVER
  }
}

/**
 * Asks whether a constraint can be compiled.
 * @throws IncipitError `invalid_request` naming the place in the body
 */
export async function checkConstraint(
  checker: ConstraintChecker | undefined,
  declared: DeclaredConstraint | undefined,
): Promise<void> {
  if (checker === undefined || declared === undefined) return
  // By itself first: then what is wrong with it is told under its own name.
  await checkConstraint(checker, declared.form)
  try {
    await checker.check(declared.constraint)
  } catch (cause) {
    const { path, reason } = cause as { path?: string; reason?: string }
    const param = path ? `${declared.param}.${path}` : declared.param
    const why = reason ?? (cause instanceof Error ? cause.message : String(cause))
    throw new IncipitError('invalid_request', `${param}: ${why}`, { param, cause })
  }
}
