import { inWordsOf } from '../answer.ts'
import { type ConstraintChecker, checkConstraint } from '../constraint.ts'
import { ServerError } from '../errors.ts'
import type { ItemReference } from '../items/input-item.ts'
import { type Item, itemId } from '../items/item.ts'
import type { ModelDirectory } from '../models/model-directory.ts'
import type { RequestPlan } from '../request-plan.ts'
import type { ServedEngine } from '../served-engine.ts'
import { validate } from '../validate.ts'
import { isPrewarm, planResponse } from './response-plan.ts'
import { ResponseRun } from './response-run.ts'
import { conversationOf, ResponseStore, type StoredResponse } from './response-store.ts'
import { type ResponsesBody, responsesBody } from './responses-body.ts'

export interface ResponsesOptions {
  readonly models: ModelDirectory
  readonly constraints?: ConstraintChecker | undefined
}

/** A response that was asked for and has not begun. Its model is held until it is disposed. */
export interface Prepared extends Disposable {
  readonly body: ResponsesBody
  readonly plan: RequestPlan
  readonly run: ResponseRun
  readonly engine: ServedEngine
  /** What it is made of, the conversation before it included. */
  readonly input: readonly Item[]
}

/** Makes responses and keeps them, over HTTP and over sockets. */
export class Responses {
  readonly store = new ResponseStore()
  readonly #options: ResponsesOptions

  constructor(options: ResponsesOptions) {
    this.#options = options
  }

  /**
   * @param options.last a response that is known though it is not kept
   * @param options.signal ends the wait for a model that is being loaded
   * @throws IncipitError and ServerError for what is wrong in the body
   */
  async prepare(
    value: unknown,
    { last, signal }: { last?: StoredResponse | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<Prepared> {
    const { models, constraints } = this.#options
    const body = validate(responsesBody, value)
    const model = await models.use(body.model || undefined, signal)
    const release = () => model[Symbol.dispose]()
    try {
      const { engine, name, defaults } = model
      if (isPrewarm(body) && engine.prefill === undefined) {
        throw new ServerError('unsupported', 'this server cannot prefill', { param: 'prompt_cache_options.prewarm' })
      }
      const input = this.#input(body, last)
      const plan = await planResponse(body, input, engine, defaults)
      await checkConstraint(constraints, plan.constraint)
      return { body, plan, run: new ResponseRun(body, plan, name), engine, input, [Symbol.dispose]: release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Starts it; what the engine says of the request is said in its own words. */
  async start({ run, plan, engine }: Prepared, signal: AbortSignal): Promise<void> {
    try {
      await run.start(engine, signal)
    } catch (error) {
      throw inWordsOf(plan, error)
    }
  }

  /** To be called when it is over. Keeps it, where that is wanted. */
  done({ body, run, input }: Prepared): StoredResponse {
    const stored = { response: run.response, input }
    if (body.store !== false) this.store.add(stored)
    return stored
  }

  #input({ input, previous_response_id: id }: ResponsesBody, last: StoredResponse | undefined): Item[] {
    const items: (Item | ItemReference)[] =
      typeof input === 'string'
        ? [
            {
              id: itemId('message'),
              type: 'message',
              status: 'completed',
              role: 'user',
              content: [{ type: 'input_text', text: input }],
            },
          ]
        : (input ?? [])
    return [...this.#before(id, last), ...items.map((item, i) => this.#resolved(item, i))]
  }

  #before(id: string | null | undefined, last: StoredResponse | undefined): readonly Item[] {
    if (!id) return []
    const stored = id === last?.response.id ? last : this.store.get(id)
    if (stored) return conversationOf(stored)
    const message = `no response with the id ${JSON.stringify(id)} is kept here; send the conversation as input`
    throw new ServerError('previous_response_not_found', message, { param: 'previous_response_id' })
  }

  #resolved(item: Item | ItemReference, index: number): Item {
    if (item.type !== 'item_reference') return item
    const found = this.store.item(item.id)
    if (found) return found
    const param = `input[${index}].id`
    throw new ServerError('response_not_found', `${param}: no item ${JSON.stringify(item.id)} is kept here`, { param })
  }
}
