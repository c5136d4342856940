import { z } from 'zod'
import { describedAs } from '../described-as.ts'
import { neutral } from '../neutral.ts'
import { unsupported } from '../validate.ts'
import { MAX_TOOLS, type ToolFields, toolName } from './tool-parameters.ts'

const tool = z
  .object({
    type: describedAs(z.string(), z.literal('function')),
    name: toolName.optional(),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
    async: neutral([false]),
    defer_loading: neutral([false]),
  })
  .superRefine(({ type, name }, context) => {
    if (type !== 'function') {
      const message = `tools of the type ${JSON.stringify(type)} are not supported, only functions`
      context.addIssue({ code: 'custom', path: ['type'], message, ...unsupported })
    } else if (name === undefined) context.addIssue({ code: 'custom', path: ['name'], message: 'is missing' })
  })

const named = z.object({ type: z.literal('function'), name: z.string() })

const allowed = z.object({
  type: z.literal('allowed_tools'),
  mode: z.enum(['auto', 'required']),
  tools: z.array(named).min(1, 'must not be empty'),
})

const checkedChoice = z
  .union([z.enum(['none', 'auto', 'required']), z.looseObject({ type: z.string() })])
  .transform((choice, context): 'none' | 'auto' | 'required' | z.infer<typeof named> | z.infer<typeof allowed> => {
    if (typeof choice === 'string') return choice
    const schema = { function: named, allowed_tools: allowed }[choice.type]
    if (schema === undefined) {
      const message = `a choice of the type ${JSON.stringify(choice.type)} is not supported`
      context.addIssue({ code: 'custom', path: ['type'], message, ...unsupported })
      return z.NEVER
    }
    const result = (schema as z.ZodType<z.infer<typeof named> | z.infer<typeof allowed>>).safeParse(choice)
    if (result.success) return result.data
    for (const issue of result.error.issues) context.issues.push({ ...issue, input: choice } as z.core.$ZodRawIssue)
    return z.NEVER
  })

const choice = describedAs(checkedChoice, z.union([z.enum(['none', 'auto', 'required']), named, allowed]))

/** Fields that concern tools as OpenAI's newer dialects have them: without the object that `/v1/chat/completions` puts around functions. */
export const flatToolParameters = {
  tools: z.array(tool).max(MAX_TOOLS).nullish(),
  tool_choice: choice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
}

export type FlatToolFields = z.infer<z.ZodObject<typeof flatToolParameters>>

/** What is wrong with tools and the choice among them, which each may be well-formed. */
interface ToolProblem {
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** A choice needs something to choose from, and names are told apart. */
export function* flatToolProblems(body: FlatToolFields): Generator<ToolProblem> {
  const { tool_choice: choice } = body
  const names = body.tools?.map(({ name }) => name) ?? []
  for (const [i, name] of names.entries()) {
    if (names.indexOf(name) !== i) yield { path: ['tools', i, 'name'], message: 'is the name of another tool, too' }
  }
  if (choice === 'required' && names.length === 0) yield { path: ['tool_choice'], message: 'needs tools' }
  if (typeof choice !== 'object' || choice === null) return
  const chosen = choice.type === 'function' ? [choice] : choice.tools
  for (const [i, { name }] of chosen.entries()) {
    const path = choice.type === 'function' ? ['name'] : ['tools', i, 'name']
    if (!names.includes(name)) yield { path: ['tool_choice', ...path], message: 'is no tool of this request' }
  }
}

/** {@link flatToolProblems} of a body. */
export function refineFlatTools(body: FlatToolFields, context: z.RefinementCtx): void {
  for (const { path, message } of flatToolProblems(body)) context.addIssue({ code: 'custom', path: [...path], message })
}

/** The same as `/v1/chat/completions` has it. */
export function chatTools(body: FlatToolFields): Pick<ToolFields, 'tools' | 'tool_choice' | 'parallel_tool_calls'> {
  return {
    tools: (body.tools ?? []).map(({ name, description, parameters, strict }) => ({
      type: 'function',
      function: { name: name!, description, parameters, strict },
    })),
    tool_choice: chatChoice(body.tool_choice),
    parallel_tool_calls: body.parallel_tool_calls,
  }
}

function chatChoice(choice: FlatToolFields['tool_choice']): ToolFields['tool_choice'] {
  if (typeof choice !== 'object' || choice === null) return choice
  const inChat = ({ name }: z.infer<typeof named>) => ({ type: 'function' as const, function: { name } })
  if (choice.type === 'function') return inChat(choice)
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools: choice.tools.map(inChat) } }
}
