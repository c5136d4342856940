import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answer } from '../answer.ts'
import { type DialectOptions, mountDialect, planPrompts } from '../dialect.ts'
import type { ModelInUse } from '../models/model-directory.ts'
import { withModel } from '../models/with-model.ts'
import { promptTexts } from '../prompt-texts.ts'
import type { PromptsBody } from '../request-plan.ts'
import { route } from '../route.ts'
import { eventOf } from '../sse.ts'
import { loadingProgress } from '../wire.ts'
import { type CompletionBody, type CompletionFields, settingsOf, termsOf } from './completion-body.ts'
import { completionTeller, progressAnswer } from './completion-teller.ts'
import { llamaServerError } from './errors.ts'
import { infillPrompt } from './infill.ts'
import { withLineLimits } from './line-limits.ts'
import { operations } from './operations.ts'
import { type Prompt, withBeginning } from './prompt.ts'
import { addStateRoutes } from './state-routes.ts'
import { addTokenRoutes } from './token-routes.ts'

/** Adds what llama-server has beside OpenAI's routes; see `docs/llama-server.md`. */
export function mountLlamaServer(app: FastifyInstance, dialect: DialectOptions): void {
  const options = {
    ...dialect,
    errorEvent: (error: unknown) => eventOf(llamaServerError(error).body),
    loadingEvent: (ms: number) => eventOf(progressAnswer(0, loadingProgress(ms))),
  }

  /** @param more what only one of the routes has */
  async function complete(
    model: ModelInUse,
    body: CompletionFields,
    prompts: readonly Prompt[],
    more: Pick<PromptsBody, 'n' | 'parse_special' | 'tier'>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { engine, name } = model
    const terms = { ...termsOf(body, prompts), ...more }
    const plan = await planPrompts(model, options, terms, body.grammar ? 'grammar' : 'json_schema')
    const texts = await promptTexts(prompts, engine)
    const teller = completionTeller({
      model: name,
      settings: settingsOf(body, terms, plan.choices[0]?.seed),
      prompts: texts.flatMap((text) => Array<string>(plan.n).fill(text)),
      isList: plan.choices.length > 1,
      returnsTokens: body.return_tokens ?? false,
      showsProbabilities: Boolean(body.n_probs),
      fields: body.response_fields ?? undefined,
    })
    const limits = { indent: body.n_indent ?? 0, time: body.t_max_predict_ms ?? 0 }
    return answer(withLineLimits(engine, limits), plan, teller, request, reply, (error) =>
      options.report(request, error),
    )
  }

  mountDialect(app, options, llamaServerError, (scope) => {
    const completion = (request: FastifyRequest, reply: FastifyReply, body: CompletionBody) =>
      withModel(options, body, request, reply, (model) => {
        const prompts = body.prompt.map((prompt) => withBeginning(prompt, model.engine.info))
        return complete(model, body, prompts, { n: body.n_cmpl }, request, reply)
      })
    route(scope, 'POST', '/completion', operations.completion, completion)
    // Its former name has no `/v1` in front, where OpenAI's shapes are.
    route(scope, 'POST', '/completions', operations.completions, completion)
    route(scope, 'POST', '/infill', operations.infill, (request, reply, body) => {
      // Text around a gap is text. Somebody waits for it at every key.
      const more = { parse_special: false, tier: body.tier ?? 'code' } as const
      return withModel(options, body, request, reply, async (model) =>
        complete(model, body, [infillPrompt(body, model.engine.info)], more, request, reply),
      )
    })
    addTokenRoutes(scope, options)
    addStateRoutes(scope, options)
  })
}
