import { IncipitError } from '@incipit/engine/api'
import { type ChatForm, chatForm, templateOptions } from '../chat-form.ts'
import { type ConstraintChecker, checkConstraint, constraintOf, type DeclaredConstraint } from '../constraint.ts'
import { ServerError } from '../errors.ts'
import { reasoningPlace } from '../reasoning-place.ts'
import type { ServedEngine } from '../served-engine.ts'
import { chatTools, flatToolProblems } from '../tools/flat-tool-parameters.ts'
import type { Settings } from './settings.ts'

/** Who says whether what settings ask for can be done. */
export interface FormPlanner {
  readonly engine: ServedEngine
  readonly constraints: ConstraintChecker | undefined
}

/**
 * How conversations become prompts under these settings, and what the replies look like: as `/v1/chat/completions` has it,
 * and `/v1/completions` where the text is the prompt itself.
 *
 * @param at where the settings are given: in front of every parameter that is named
 * @throws IncipitError `invalid_request` and ServerError `unsupported`, naming the parameter
 */
export async function formOf(
  settings: Settings,
  { engine, constraints }: FormPlanner,
  at: 'session' | 'response',
): Promise<ChatForm> {
  for (const { path, message } of flatToolProblems(settings)) throw invalid(`${at}.${nameOf(path)}`, message)
  const form = settings.raw ? rawForm(settings, at) : await conversationForm(settings, engine, at)
  const constraint = form.constraint && placed(form.constraint, at)
  await checkConstraint(constraints, constraint)
  return { ...form, constraint }
}

/** Of the form, what an open input or a request may have from before: all of it, because what is left out stays. */
export function spelledOut({ request }: ChatForm) {
  const { template = {}, showSpecial = false, constraint = null, reasoningBudget = null } = request
  return { template, showSpecial, constraint, reasoningBudget }
}

function rawForm(settings: Settings, at: string): ChatForm {
  if (settings.tools.length > 0) throw invalid(`${at}.tools`, 'needs a conversation: a raw text calls no tools')
  if (settings.thinking_budget_tokens !== null) {
    throw invalid(
      `${at}.thinking_budget_tokens`,
      'needs a conversation: in a raw text nobody says where reasoning begins',
    )
  }
  const constraint = constraintOf(settings)
  return {
    request: constraint ? { constraint: constraint.constraint } : {},
    messages: (conversation) => [...conversation],
    constraint,
    shape: {},
  }
}

async function conversationForm(settings: Settings, engine: ServedEngine, at: string): Promise<ChatForm> {
  const { tools: _, tool_choice: __, ...others } = settings
  const body = {
    ...others,
    ...chatTools(settings),
    messages: [],
    // A reply is a turn of its own, also behind one of the assistant's.
    continue_final_message: false,
  }
  try {
    return chatForm(body, engine.info, await reasoningPlace(engine, templateOptions(body)))
  } catch (error) {
    const { param } = error as { readonly param?: string }
    if (param === undefined) throw error
    const named = { cause: error, param: `${at}.${param}` }
    if (error instanceof ServerError) throw new ServerError(error.code, error.message, named)
    if (error instanceof IncipitError) throw new IncipitError(error.code, error.message, named)
    throw error
  }
}

/** The same, named by where it was said. */
function placed({ form, ...declared }: DeclaredConstraint, at: string): DeclaredConstraint {
  return { ...declared, param: `${at}.${declared.param}`, ...(form && { form: placed(form, at) }) }
}

function nameOf([first, ...rest]: readonly (string | number)[]): string {
  return `${first}${rest.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('')}`
}

function invalid(param: string, message: string): IncipitError {
  return new IncipitError('invalid_request', `${param}: ${message}`, { param })
}
