import type { Constraint } from '@incipit/engine/api'
import type { Tool, ToolChoice } from './tool.ts'
import type { ToolFormat } from './tool-format.ts'

type JsonForm = Extract<Constraint, { type: 'json_schema' }>

/**
 * What a reply must look like that may or must call tools: every call is one of theirs, with arguments of its schema.
 * @param otherwise what a reply is that calls none; undefined: any text
 */
export function toolConstraint(
  tools: readonly Tool[],
  choice: Exclude<ToolChoice, 'none'>,
  parallel: boolean,
  { trigger, begin, end }: ToolFormat,
  otherwise?: JsonForm,
): Constraint {
  const callable = typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name)
  return {
    type: 'structural_tag',
    triggers: [trigger],
    tags: callable.map(({ name, parameters, strict }) => ({
      begin: begin(name),
      schema: parameters,
      lenient: !strict,
      end,
    })),
    ...(choice !== 'auto' && { atLeastOne: true }),
    ...(otherwise && { otherwise: { schema: otherwise.schema, lenient: otherwise.lenient } }),
    // A tool that was named is called once.
    ...((!parallel || typeof choice !== 'string') && { stopAfterFirst: true }),
  }
}
