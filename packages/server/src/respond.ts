import type { FastifyReply, FastifyRequest } from 'fastify'
import { answer } from './answer.ts'
import { collect, tell } from './choices.ts'
import { errorAnswer } from './errors.ts'
import type { Format } from './format.ts'
import { promptTexts } from './prompt-texts.ts'
import type { RequestPlan } from './request-plan.ts'
import type { ServedEngine } from './served-engine.ts'
import { EventStream } from './sse.ts'

/**
 * Runs a plan and answers in OpenAI's shapes; see `answer`.
 *
 * @throws as `promptTexts`, for an echo
 */
export async function respond(
  engine: ServedEngine,
  plan: RequestPlan,
  format: Format,
  request: FastifyRequest,
  reply: FastifyReply,
  report: (error: unknown) => void,
): Promise<FastifyReply> {
  const echo = plan.echo && (await promptTexts(plan.echo, engine))
  const teller = {
    whole: (choices: Parameters<typeof collect>[0]) => collect(choices, plan, echo, format),
    open: (...of: ConstructorParameters<typeof EventStream>) => new EventStream(...of),
    tell: async (choices: Parameters<typeof tell>[0], stream: EventStream) => {
      await tell(choices, plan, echo, format, stream)
      stream.done()
    },
    fail: (stream: EventStream, error: unknown) => stream.fail(errorAnswer(error).body),
  }
  return answer(engine, plan, teller, request, reply, report)
}
