import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ChatBody } from './chat-body.ts'
import { type ConstraintChecker, checkConstraint } from './constraint.ts'
import type { ErrorAnswer } from './errors.ts'
import { reasoningPlace } from './reasoning-place.ts'
import { type PlanDefaults, planChat, type RequestPlan, templateOptions } from './request-plan.ts'
import type { ServedEngine } from './served-engine.ts'

/** What the routes of a dialect answer with. */
export interface DialectOptions {
  engine: ServedEngine
  /** What the API calls the model. */
  model: string
  /** Only the tier is taken: no other dialect than OpenAI's can show guesses, or say that a text is not the full model's. */
  defaults: PlanDefaults
  constraints: ConstraintChecker | undefined
  report: (request: FastifyRequest, error: unknown) => void
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
 * Plans a conversation that another dialect has told in OpenAI's terms, and checks its constraint.
 *
 * @param formField what that dialect calls the field which says what the reply must look like
 * @throws as `planChat` and `checkConstraint`
 */
export async function planConversation(
  { engine, defaults: { tier }, constraints }: DialectOptions,
  body: ChatBody,
  formField: string,
): Promise<RequestPlan> {
  const plan = planChat(body, { tier }, engine.info, await reasoningPlace(engine, templateOptions(body)))
  if (plan.constraint && plan.constraint.param !== 'tools') plan.constraint = { ...plan.constraint, param: formField }
  await checkConstraint(constraints, plan.constraint)
  return plan
}
