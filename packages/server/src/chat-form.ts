import type { ChatMessage, ChatTemplateOptions, Constraint, GenerateRequest, ModelInfo } from '@incipit/engine/api'
import { channelConstraint, contentOf, speaksInChannels } from './channels/harmony.ts'
import type { ChatBody } from './chat-body.ts'
import { constraintOf, type DeclaredConstraint } from './constraint.ts'
import { ServerError } from './errors.ts'
import { reasoningBudgetOf } from './reasoning-budget.ts'
import type { ReplyShape } from './reply/reply-shape.ts'
import { withDescribedTools } from './tools/describe-tools.ts'
import { toolConstraint } from './tools/tool-constraint.ts'
import { toolFormat } from './tools/tool-format.ts'
import { toolsOf } from './tools/tool-parameters.ts'

/** How a conversation becomes a prompt, and what its reply looks like, whatever is said in it. */
export interface ChatForm {
  /** What of it the engine is asked, but for the messages. */
  readonly request: Pick<GenerateRequest, 'template' | 'showSpecial' | 'constraint' | 'reasoningBudget'>
  /** The messages that the template is given for a conversation. */
  readonly messages: (conversation: readonly ChatMessage[]) => ChatMessage[]
  /** What a reply must look like. */
  readonly constraint: DeclaredConstraint | undefined
  /** What is told apart in a reply. */
  readonly shape: ReplyShape
}

/** What of a model decides how a conversation becomes a prompt and a reply. */
export type ChatModel = Partial<Pick<ModelInfo, 'chatTemplate' | 'reasoning'>>

/** Fields of a body that say how its conversation becomes a prompt. */
type TemplateFields = Pick<
  ChatBody,
  | 'messages'
  | 'chat_template_kwargs'
  | 'reasoning_effort'
  | 'enable_thinking'
  | 'add_generation_prompt'
  | 'continue_final_message'
>

/** Those, and what says how its reply is read and what it must look like. */
export type FormFields = TemplateFields &
  Pick<ChatBody, 'tools' | 'tool_choice' | 'parallel_tool_calls' | 'reasoning_format'> &
  Parameters<typeof constraintOf>[0] &
  Parameters<typeof reasoningBudgetOf>[0]

/**
 * @param at where the prompt leaves a model that thinks
 * @throws ServerError `unsupported` for tools together with a form of the reply that is no schema, IncipitError
 *   `invalid_request` for a strict tool that this model's calls cannot be held to
 */
export function chatForm(body: FormFields, model: ChatModel = {}, at?: 'open' | 'closed' | 'optional'): ChatForm {
  const splits = at !== undefined && body.reasoning_format !== 'none'
  if (speaksInChannels(model.chatTemplate)) return channelForm(body, splits)
  const { described, tools, choice } = toolsOf(body)
  const format = tools.length > 0 ? toolFormat(model.chatTemplate) : undefined
  const template = templateOptions(body, format?.native ? described : [])
  const called = format && choice !== 'none' ? { format, choice } : undefined
  const form = constraintOf(body)
  // A call that begins as JSON does cannot be told from a value.
  const value = called?.format.trigger.startsWith('{') ? undefined : jsonForm(form)
  const constraint = called
    ? callsOr(form, value, (otherwise) =>
        toolConstraint(tools, called.choice, body.parallel_tool_calls ?? true, called.format, otherwise),
      )
    : form
  const reasoning = splits ? model.reasoning : undefined
  // Reasoning that is left in the content ends with a marker there: so it begins with one, too.
  const lead = !splits && at === 'open' ? model.reasoning?.start : undefined
  return {
    // Markers that are control tokens are looked for in the text.
    request: requestOf(body, template, reasoning !== undefined || called !== undefined, constraint),
    messages: (conversation) =>
      format && !format.native
        ? withDescribedTools(conversation, tools, format, model.chatTemplate)
        : [...conversation],
    constraint,
    shape: {
      ...(reasoning && { reasoning: { ...reasoning, at: at! } }),
      ...(lead !== undefined && { lead }),
      ...(called && { tools: { format: called.format, tools } }),
    },
  }
}

/** The same for a model that says everything in channels. */
function channelForm(body: FormFields, splits: boolean): ChatForm {
  const { described, tools, choice } = toolsOf(body)
  const template = templateOptions(body, described)
  const inAnswer = template.continueFinal ?? false
  const form = constraintOf(body)
  const content = form && contentOf(form.constraint)
  const calls = tools.length > 0 && choice !== 'none'
  const constraint = calls
    ? callsOr(form, content, (otherwise) => channelConstraint(tools, choice, otherwise, inAnswer))
    : content
      ? { constraint: channelConstraint([], 'none', content, inAnswer), param: form!.param, form: form! }
      : form
  return {
    request: requestOf(body, template, true, constraint),
    messages: (conversation) => [...conversation],
    constraint,
    shape: { channels: { reasoning: splits, inAnswer, tools: calls ? tools : [] } },
  }
}

function requestOf(
  body: FormFields,
  template: ChatTemplateOptions,
  showSpecial: boolean,
  constraint: DeclaredConstraint | undefined,
): ChatForm['request'] {
  const reasoningBudget = reasoningBudgetOf(body)
  return {
    ...(Object.keys(template).length > 0 && { template }),
    ...(showSpecial && { showSpecial }),
    ...(constraint && { constraint: constraint.constraint }),
    ...(reasoningBudget !== undefined && { reasoningBudget }),
  }
}

function jsonForm(form: DeclaredConstraint | undefined) {
  return form?.constraint.type === 'json_schema' ? form.constraint : undefined
}

/**
 * A reply that calls tools, or is of a form.
 * @param otherwise the form, where a call can be told from what has it
 * @param calls what a reply must look like that calls tools, or is of this form
 */
function callsOr<Form>(
  form: DeclaredConstraint | undefined,
  otherwise: Form | undefined,
  calls: (otherwise: Form | undefined) => Constraint,
): DeclaredConstraint {
  if (form && otherwise === undefined) {
    const message = 'this form of the reply and tools do not go together here; with "tool_choice": "none" they do'
    throw new ServerError('unsupported', message, { param: form.param })
  }
  return { constraint: calls(otherwise), param: 'tools', ...(form && { form }) }
}

/** How the conversation of a body becomes a prompt. */
export function templateOptions(body: TemplateFields, tools: readonly unknown[] = []): ChatTemplateOptions {
  const { reasoning_effort: effort, enable_thinking: thinks } = body
  const variables = {
    ...(effort && { reasoning_effort: effort, enable_thinking: effort !== 'none' }),
    ...(typeof thinks === 'boolean' && { enable_thinking: thinks }),
    ...body.chat_template_kwargs,
  }
  return {
    ...(tools.length > 0 && { tools }),
    ...(Object.keys(variables).length > 0 && { variables }),
    ...(typeof body.add_generation_prompt === 'boolean' && { addGenerationPrompt: body.add_generation_prompt }),
    ...(continuesFinal(body) && { continueFinal: true }),
  }
}

/** As llama-server does, a last message of the assistant is gone on with, unless the body says otherwise. */
function continuesFinal(body: TemplateFields): boolean {
  if (typeof body.continue_final_message === 'boolean') return body.continue_final_message
  const last = body.messages.at(-1)!
  return last.role === 'assistant' && !last.toolCalls && last.content !== '' && !body.add_generation_prompt
}
