import { z } from 'zod'
import { describedAs } from '../described-as.ts'
import { empty, neutral } from '../neutral.ts'
import { unsupported } from '../validate.ts'
import type { Tool, ToolChoice } from './tool.ts'

/** Most tools of a request. */
export const MAX_TOOLS = 256

export const toolName = z.string().regex(/^[a-zA-Z0-9_.:-]{1,128}$/, 'must have 1 to 128 letters, digits, _, ., : or -')

const tool = z
  .object({
    type: describedAs(z.string(), z.literal('function')),
    function: z
      .object({
        name: toolName,
        description: z.string().nullish(),
        parameters: z.record(z.string(), z.unknown()).nullish(),
        strict: z.boolean().nullish(),
      })
      .optional(),
  })
  .superRefine(({ type, function: called }, context) => {
    if (type !== 'function') {
      const message = 'only tools of the type "function" are supported'
      context.addIssue({ code: 'custom', path: ['type'], message, ...unsupported })
    } else if (called === undefined) context.addIssue({ code: 'custom', path: ['function'], message: 'is missing' })
  })

const named = z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) })

const allowed = z.object({
  type: z.literal('allowed_tools'),
  allowed_tools: z.object({ mode: z.enum(['auto', 'required']), tools: z.array(named).min(1, 'must not be empty') }),
})

/** Fields of a chat request that concern tools. */
export const toolParameters = {
  tools: z.array(tool).max(MAX_TOOLS).nullish(),
  tool_choice: z
    .union(
      [z.enum(['none', 'auto', 'required']), named, allowed],
      'must be none, auto, required, a function or allowed_tools',
    )
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  // The former names.
  functions: neutral([], empty),
  function_call: neutral(['none', 'auto']),
}

export type ToolFields = z.infer<z.ZodObject<typeof toolParameters>>

/** A choice needs something to choose from. */
export function refineTools({ tools, tool_choice: choice }: ToolFields, context: z.RefinementCtx): void {
  const refuse = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
  const names = tools?.map(({ function: called }) => called?.name) ?? []
  for (const [i, name] of names.entries()) {
    if (names.indexOf(name) !== i) refuse(['tools', i, 'function', 'name'], 'is the name of another tool, too')
  }
  if (choice === 'required' && names.length === 0) refuse(['tool_choice'], 'needs tools')
  if (typeof choice !== 'object' || choice === null) return
  const isStranger = ({ function: { name } }: z.infer<typeof named>) => !names.includes(name)
  const message = 'is no tool of this request'
  if (choice.type === 'function') {
    if (isStranger(choice)) refuse(['tool_choice', 'function', 'name'], message)
    return
  }
  const stranger = choice.allowed_tools.tools.findIndex(isStranger)
  if (stranger >= 0) refuse(['tool_choice', 'allowed_tools', 'tools', stranger, 'function', 'name'], message)
}

/** The tools of a request that its reply may call, of which alone the model is told, and whether it must. */
export function toolsOf({ tools: all, tool_choice: choice }: ToolFields) {
  const limits = typeof choice === 'object' && choice?.type === 'allowed_tools' ? choice.allowed_tools : undefined
  const allows = (name: string) => !limits || limits.tools.some(({ function: allowed }) => allowed.name === name)
  const described = (all ?? []).filter(({ function: called }) => allows(called!.name))
  return {
    /** As the request has them. */
    described,
    tools: described.map(
      ({ function: called }): Tool => ({
        name: called!.name,
        ...(called!.description ? { description: called!.description } : {}),
        parameters: called!.parameters ?? { type: 'object', properties: {} },
        strict: called!.strict ?? false,
      }),
    ),
    choice: choiceOf(choice),
  }
}

function choiceOf(choice: ToolFields['tool_choice']): ToolChoice {
  if (typeof choice !== 'object' || choice === null) return choice ?? 'auto'
  return choice.type === 'function' ? { name: choice.function.name } : choice.allowed_tools.mode
}
