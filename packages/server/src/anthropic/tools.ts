import { z } from 'zod'
import type { ChatBody } from '../chat-body.ts'
import { describedAs } from '../described-as.ts'
import { empty, neutral } from '../neutral.ts'
import { strictArray } from '../strict-array.ts'
import { MAX_TOOLS, toolName } from '../tools/tool-parameters.ts'
import { unsupported } from '../validate.ts'

const custom = z.object({
  name: toolName,
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()),
  strict: z.boolean().nullish(),
  // A tool that is found by searching, called by a program, or shown by examples.
  defer_loading: neutral([false]),
  allowed_callers: neutral([], strictArray(z.literal('direct'), { least: 0 })),
  input_examples: neutral([], empty),
})

/** Tools that Anthropic runs, or whose schema only its models know, have types of their own. */
const tool = describedAs(
  z
    .looseObject({ type: z.string().nullish() })
    .refine(({ type }) => !type || type === 'custom', {
      path: ['type'],
      error: 'only tools of the type "custom" are supported, whose input_schema the request gives',
      ...unsupported,
    })
    .pipe(custom),
  custom.extend({ type: z.literal('custom').nullish() }),
)

const parallel = { disable_parallel_tool_use: z.boolean().nullish() }

/** Fields of a request that concern tools. */
export const toolFields = {
  tools: strictArray(tool, { least: 0, most: MAX_TOOLS }).nullish(),
  tool_choice: z
    .discriminatedUnion(
      'type',
      [
        z.object({ type: z.literal('auto'), ...parallel }),
        z.object({ type: z.literal('any'), ...parallel }),
        z.object({ type: z.literal('tool'), name: z.string(), ...parallel }),
        z.object({ type: z.literal('none') }),
      ],
      'must have the type auto, any, tool or none',
    )
    .nullish(),
}

type ToolFields = z.infer<z.ZodObject<typeof toolFields>>

/** A choice needs something to choose from, and names are unique. */
export function refineToolFields({ tools, tool_choice: choice }: ToolFields, context: z.RefinementCtx): void {
  const refuse = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
  const names = (tools ?? []).map(({ name }) => name)
  for (const [i, name] of names.entries()) {
    if (names.indexOf(name) !== i) refuse(['tools', i, 'name'], 'is the name of another tool, too')
  }
  if (choice?.type === 'any' && names.length === 0) refuse(['tool_choice'], 'needs tools')
  if (choice?.type === 'tool' && !names.includes(choice.name))
    refuse(['tool_choice', 'name'], 'is no tool of this request')
}

/** The same in OpenAI's terms. */
export function toolsInChatTerms({
  tools,
  tool_choice: choice,
}: ToolFields): Pick<ChatBody, 'tools' | 'tool_choice' | 'parallel_tool_calls'> {
  return {
    tools: (tools ?? []).map(({ name, description, input_schema: parameters, strict }) => ({
      type: 'function',
      function: { name, description, parameters, strict },
    })),
    ...(choice && { tool_choice: choiceOf(choice) }),
    ...(choice && choice.type !== 'none' && { parallel_tool_calls: !choice.disable_parallel_tool_use }),
  }
}

function choiceOf(choice: NonNullable<ToolFields['tool_choice']>): ChatBody['tool_choice'] {
  if (choice.type === 'any') return 'required'
  return choice.type === 'tool' ? { type: 'function', function: { name: choice.name } } : choice.type
}
