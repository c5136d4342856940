import { type GenerateEvent, type GenerateRequest, type Policy, showsGuesses, type TierName } from '@incipit/engine/api'
import type { ServedEngine, ServedReply } from '../served-engine.ts'
import { withMethods } from '../with-methods.ts'
import { Counter } from './counter.ts'
import type { Family, Labels } from './exposition.ts'
import { Histogram } from './histogram.ts'

/** Seconds: fine below a tenth, where people begin to notice. */
const firstTextBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60, 120]
const betweenTokensBounds = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5]

type Terms = Pick<GenerateRequest, 'tier' | 'policy'>

/** How replies went, by model and tier. */
export class ReplyMetrics {
  readonly #replies = new Counter({
    name: 'incipit_replies_total',
    help: 'Replies that are over, and why: stop, length, context, cancelled or failed.',
  })
  readonly #committed = new Histogram(
    {
      name: 'incipit_time_to_first_committed_seconds',
      help: 'From when the engine accepted a request to the first text that stays.',
    },
    firstTextBounds,
  )
  readonly #provisional = new Histogram(
    {
      name: 'incipit_time_to_first_provisional_seconds',
      help: 'The same to the first text of any kind, of requests that are shown provisional text.',
    },
    firstTextBounds,
  )
  readonly #betweenTokens = new Histogram(
    {
      name: 'incipit_inter_token_seconds',
      help: 'Between two tokens of a reply as the server hands them on; of tokens that come together their share.',
    },
    betweenTokensBounds,
  )

  get families(): Family[] {
    return [this.#replies, this.#committed, this.#provisional, this.#betweenTokens].map(({ family }) => family)
  }

  /** The same engine, whose replies are measured. */
  measured(engine: ServedEngine, model: string): ServedEngine {
    const timed = (reply: ServedReply, terms: Terms) => ({
      [Symbol.asyncIterator]: () => this.#timed(reply, model, terms),
    })
    const open = engine.open?.bind(engine)
    return withMethods<ServedEngine>(engine, {
      generate: (request) => {
        const reply = engine.generate(request)
        return withMethods<ServedReply>(reply, timed(reply, request))
      },
      ...(open && {
        open: (options) => {
          const input = open(options)
          let terms: Terms = options
          return withMethods(input, {
            configure: (changed) => {
              terms = { ...terms, ...changed }
              input.configure(changed)
            },
            respond: (request) => {
              const reply = input.respond(request)
              return withMethods(reply, timed(reply, { ...terms, ...request }))
            },
          })
        },
      }),
    })
  }

  async *#timed(
    events: AsyncIterable<GenerateEvent>,
    model: string,
    { tier = 'chat', policy = 'committed' }: { tier?: TierName; policy?: Policy },
  ): AsyncGenerator<GenerateEvent> {
    const labels: Labels = { model, tier }
    // Whoever reads no further cancels it.
    let end = 'cancelled'
    let lastToken: number | undefined
    try {
      for await (const event of events) {
        if (event.type === 'delta' && event.tokens > 0) {
          const now = performance.now()
          if (lastToken !== undefined) {
            this.#betweenTokens.observe(labels, (now - lastToken) / 1000 / event.tokens, event.tokens)
          }
          lastToken = now
        } else if (event.type === 'done') {
          end = event.finishReason
          const { committedMs, provisionalMs } = event.timings
          if (committedMs !== null) this.#committed.observe(labels, committedMs / 1000)
          if (provisionalMs !== null && showsGuesses(policy)) this.#provisional.observe(labels, provisionalMs / 1000)
        }
        yield event
      }
    } catch (error) {
      end = 'failed'
      throw error
    } finally {
      this.#replies.add({ ...labels, end })
    }
  }
}
