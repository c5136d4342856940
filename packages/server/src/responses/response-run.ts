import { type GenerateEvent, type GenerateRequest, IncipitError, type TokenLogprobs } from '@incipit/engine/api'
import { start } from '../choices.ts'
import { errorAnswer } from '../errors.ts'
import { Output, type OutputEvent } from '../items/output.ts'
import { newId } from '../new-id.ts'
import { promptOf } from '../prompt-of.ts'
import { readReply } from '../reply/read-reply.ts'
import type { RequestPlan } from '../request-plan.ts'
import type { ServedEngine } from '../served-engine.ts'
import type { WireProgress } from '../wire.ts'
import {
  accountOf,
  begun,
  type ResponseObject,
  type ResponseState,
  responseHead,
  summaryOf,
  unixTime,
} from './response-object.ts'
import { isPrewarm } from './response-plan.ts'
import type { ResponsesBody } from './responses-body.ts'

export type ResponseEvent = OutputEvent & { readonly sequence_number: number }

/** One response while it is made: its numbered events, and what they add up to. */
export class ResponseRun {
  readonly #plan: RequestPlan
  readonly #head: ReturnType<typeof responseHead>
  readonly #keeps: boolean
  readonly #prewarms: boolean
  readonly #output: Output
  #state: ResponseState = begun
  #sequence = 0
  #reply: AsyncIterable<GenerateEvent> | undefined

  constructor(body: ResponsesBody, plan: RequestPlan, model: string) {
    this.#plan = plan
    this.#head = responseHead(body, { id: newId('resp'), model, tier: plan.choices[0]!.tier })
    this.#keeps = body.cache_prompt !== false
    this.#output = new Output({
      summary: summaryOf(body) !== undefined,
      carry: body.include?.includes('reasoning.encrypted_content') ?? false,
    })
    this.#prewarms = isPrewarm(body)
  }

  /** As it stands. */
  get response(): ResponseObject {
    return { ...this.#head, ...this.#state }
  }

  /**
   * Starts the work. Returns when the engine has had the opportunity to refuse it.
   *
   * @throws what the engine says is wrong in the request
   */
  async start(engine: ServedEngine, signal: AbortSignal): Promise<void> {
    const [choice] = this.#plan.choices
    const choices = [this.#prewarms ? promptOnly(choice!) : choice!]
    ;[this.#reply] = await start(engine, { choices }, signal)
  }

  /** @throws what the engine throws; `failed` says it in the words of an event */
  async *events(): AsyncGenerator<ResponseEvent> {
    yield this.#numbered({ type: 'response.created', response: this.response })
    yield this.#numbered({ type: 'response.in_progress', response: this.response })
    for await (const event of this.#told(this.#reply!)) yield this.#numbered(event)
    yield this.#numbered({ type: `response.${this.#state.status}`, response: this.response })
  }

  /** The last event of a response that failed. */
  failed(thrown: unknown): ResponseEvent {
    const { code, message } = errorAnswer(thrown).body.error
    this.#state = { ...this.#state, status: 'failed', output: this.#output.items, error: { code, message } }
    return this.#numbered({ type: 'response.failed', response: this.response })
  }

  async *#told(events: AsyncIterable<GenerateEvent>): AsyncGenerator<OutputEvent> {
    const output = this.#output
    let logprobs: TokenLogprobs[] = []
    for await (const event of readReply(events, this.#plan.shape)) {
      if (event.type === 'logprobs') logprobs.push(...event.logprobs)
      else if (event.type === 'part') {
        yield* output.take(event.part, logprobs)
        logprobs = []
      } else if (event.type === 'provisional') {
        // The one type that the official client's own stream takes and passes over.
        yield { type: 'keepalive', provisional: event.provisional }
      } else if (event.type === 'progress') yield progressEvent(event.progress)
      else if (event.type === 'done') {
        const { end, account, reasoningTokens } = event
        // A client that cancels is gone. If somebody is still there to be told, the engine's owner did it.
        if (end === 'cancelled') throw new IncipitError('cancelled', 'the reply was cancelled before it was complete')
        const whole = end !== 'length' || this.#prewarms
        yield* output.close(whole ? 'completed' : 'incomplete')
        this.#state = {
          ...begun,
          status: whole ? 'completed' : 'incomplete',
          output: output.items,
          completed_at: whole ? unixTime() : null,
          incomplete_details: whole ? null : { reason: 'max_output_tokens' },
          ...accountOf(account, reasoningTokens, this.#keeps, this.#plan.lossy),
        }
      }
    }
  }

  #numbered(event: OutputEvent): ResponseEvent {
    return { ...event, sequence_number: this.#sequence++ }
  }
}

/** The same, of which only the prompt is computed. */
function promptOnly(request: GenerateRequest): GenerateRequest {
  const { tier, progress } = request
  return { ...promptOf(request), ...(tier && { tier }), ...(progress && { progress }), maxTokens: 0 }
}

/** The one type that the official client's own stream takes and passes over. */
export function progressEvent(progress: WireProgress): OutputEvent {
  return { type: 'keepalive', prompt_progress: progress }
}
