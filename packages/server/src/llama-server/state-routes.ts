import type { FastifyInstance } from 'fastify'
import type { DialectOptions } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import { route } from '../route.ts'
import { completionBody, settingsOf, termsOf } from './completion-body.ts'

/** Adds what the server is and does: `/props` and `/slots`. */
export function addStateRoutes(app: FastifyInstance, { engine, model }: DialectOptions): void {
  const { info } = engine
  const slot = (id: number, busy: boolean) => ({
    id,
    id_task: -1,
    n_ctx: info.contextLength,
    speculative: Object.values(info.proposers).some(({ available }) => available),
    is_processing: busy,
  })

  route(app, 'GET', '/props', async () => {
    const defaults = completionBody.parse({ prompt: '' })
    return {
      default_generation_settings: { ...slot(0, false), params: settingsOf(defaults, termsOf(defaults, [], {})) },
      total_slots: info.parallel,
      model_alias: model,
      model_path: info.path,
      chat_template: info.chatTemplate ?? '',
      modalities: { vision: false, audio: false },
      build_info: 'incipit',
      is_sleeping: false,
    }
  })

  // A slot is a place for a request. Which request has which place, the engine does not say.
  route(app, 'GET', '/slots', async (request, reply) => {
    const { running } = (await engine.stats?.()) ?? { running: 0 }
    const { fail_on_no_slot: fails } = request.query as { fail_on_no_slot?: string }
    if (fails && running >= info.parallel) {
      reply.status(503)
      return { error: { code: 503, message: 'no slot available', type: 'unavailable_error' } }
    }
    return Array.from({ length: info.parallel }, (_, id) => slot(id, id < running))
  })
  route(app, 'POST', '/slots/:id', async () => {
    throw new ServerError('unsupported', 'action: this server saves no slots; see the option --prefix', {
      param: 'action',
    })
  })
}
