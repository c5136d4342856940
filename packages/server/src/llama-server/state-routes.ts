import type { ModelInfo } from '@incipit/engine/api'
import type { FastifyInstance } from 'fastify'
import type { DialectOptions } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import { withModel } from '../models/with-model.ts'
import { route } from '../route.ts'
import { completionBody, settingsOf, termsOf } from './completion-body.ts'
import { operations } from './operations.ts'

/** Adds what a model and its engine are and do: `/props` and `/slots`, with several models as `?model=...`. */
export function addStateRoutes(app: FastifyInstance, options: DialectOptions): void {
  route(app, 'GET', '/props', operations.props, (request, reply, query) =>
    withModel(options, query, request, reply, async ({ name, engine: { info } }) => {
      const defaults = completionBody.parse({ prompt: '' })
      return reply.send({
        default_generation_settings: {
          ...slot(info, 0, false),
          params: settingsOf(defaults, termsOf(defaults, [])),
        },
        total_slots: info.parallel,
        model_alias: name,
        model_path: info.path,
        chat_template: info.chatTemplate ?? '',
        modalities: { vision: false, audio: false },
        build_info: 'incipit',
        is_sleeping: false,
      })
    }),
  )

  // A slot is a place for a request. Which request has which place, the engine does not say.
  route(app, 'GET', '/slots', operations.slots, (request, reply, { model, fail_on_no_slot: fails }) =>
    withModel(options, { model }, request, reply, async ({ engine }) => {
      const { info } = engine
      const { running } = (await engine.stats?.()) ?? { running: 0 }
      if (fails && running >= info.parallel) {
        return reply.status(503).send({ error: { code: 503, message: 'no slot available', type: 'unavailable_error' } })
      }
      return reply.send(Array.from({ length: info.parallel }, (_, id) => slot(info, id, id < running)))
    }),
  )
  route(app, 'POST', '/slots/:id', operations.saveSlot, async () => {
    throw new ServerError('unsupported', 'action: this server saves no slots; see the option --prefix', {
      param: 'action',
    })
  })
}

function slot({ contextLength, proposers }: ModelInfo, id: number, busy: boolean) {
  const speculative = Object.values(proposers).some(({ available }) => available)
  return { id, id_task: -1, n_ctx: contextLength, speculative, is_processing: busy }
}
