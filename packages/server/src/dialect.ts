import type { FastifyInstance } from 'fastify'
import type { ChatBody } from './chat-body.ts'
import { templateOptions } from './chat-form.ts'
import { type ConstraintChecker, checkConstraint } from './constraint.ts'
import type { ErrorAnswer } from './errors.ts'
import type { ModelInUse } from './models/model-directory.ts'
import type { WaitOptions } from './models/with-model.ts'
import { reasoningPlace } from './reasoning-place.ts'
import { type PromptsBody, planChat, planCompletion, type RequestPlan } from './request-plan.ts'

/** What the routes of a dialect answer with. */
export interface DialectOptions extends WaitOptions {
  constraints: ConstraintChecker | undefined
}

/** An error in the shape of a dialect. */
export type DialectError = Omit<ErrorAnswer, 'body'> & { body: object }

/** Adds routes whose errors, from the first header on, are told in a dialect's own shape. */
export function mountDialect(
  app: FastifyInstance,
  { report }: Pick<DialectOptions, 'report'>,
  errorOf: (error: unknown, requestId: string) => DialectError,
  addRoutes: (scope: FastifyInstance) => void,
): void {
  app.register(async (scope) => {
    scope.setErrorHandler((error, request, reply) => {
      report(request, error)
      const { status, headers, body } = errorOf(error, request.id)
      reply.status(status).headers(headers).send(body)
    })
    addRoutes(scope)
  })
}

/**
 * A model that plans are made for. Of its defaults only the tier is taken: no other dialect than OpenAI's can show guesses, or
 * say that a text is not the full model's.
 */
type Planner = Pick<ModelInUse, 'engine' | 'defaults'>

/**
 * Plans a conversation that another dialect has told in OpenAI's terms, and checks its constraint.
 *
 * @param formField what that dialect calls the field which says what the reply must look like
 * @throws as `planChat` and `checkConstraint`
 */
export async function planConversation(
  { engine, defaults }: Planner,
  { constraints }: DialectOptions,
  body: ChatBody,
  formField: string,
): Promise<RequestPlan> {
  const at = await reasoningPlace(engine, templateOptions(body))
  const plan = planChat(body, { tier: defaults.tier }, engine.info, at)
  // Tools have the name that OpenAI gave them everywhere.
  return checked(constraints, plan, plan.constraint?.param === 'tools' ? 'tools' : formField, formField)
}

/** The same for raw prompts. */
export function planPrompts(
  { engine, defaults }: Planner,
  { constraints }: DialectOptions,
  body: PromptsBody,
  formField: string,
): Promise<RequestPlan> {
  return checked(constraints, planCompletion(body, engine.info, { tier: defaults.tier }), formField)
}

async function checked(
  constraints: DialectOptions['constraints'],
  plan: RequestPlan,
  param: string,
  formField = param,
): Promise<RequestPlan> {
  const { form } = plan.constraint ?? {}
  const constraint = plan.constraint && {
    ...plan.constraint,
    param,
    ...(form && { form: { ...form, param: formField } }),
  }
  await checkConstraint(constraints, constraint)
  return { ...plan, constraint }
}
