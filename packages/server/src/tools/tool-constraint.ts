import type { Constraint } from '@incipit/engine/api'
import type { Tool, ToolChoice } from './tool.ts'
import type { ToolFormat } from './tool-format.ts'

type JsonForm = Extract<Constraint, { type: 'json_schema' }>

/**
 * What a reply must look like that may or must call tools: every call is one of theirs, with arguments of its schema.
 * @param otherwise what a reply is that calls none; undefined: any text
 * @throws IncipitError `invalid_request` for a strict tool whose schema cannot be enforced whole
 */
export function toolConstraint(
  tools: readonly Tool[],
  choice: Exclude<ToolChoice, 'none'>,
  parallel: boolean,
  { trigger, begin, end, arguments: notation }: ToolFormat,
  otherwise?: JsonForm,
): Constraint {
  return {
    type: 'structural_tag',
    triggers: [trigger],
    tags: callable(tools, choice).map((tool) => ({ begin: begin(tool.name), ...notation.grammar(tool), end })),
    ...(choice !== 'auto' && { atLeastOne: true }),
    ...(otherwise && { otherwise: { schema: otherwise.schema, lenient: otherwise.lenient } }),
    // A tool that was named is called once.
    ...((!parallel || typeof choice !== 'string') && { stopAfterFirst: true }),
  }
}

/** The tools that a reply may call. */
export function callable(tools: readonly Tool[], choice: Exclude<ToolChoice, 'none'>): readonly Tool[] {
  return typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name)
}
