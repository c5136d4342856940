import { inWordsOf } from '../answer.ts'
import { type ConstraintChecker, checkConstraint } from '../constraint.ts'
import { ServerError } from '../errors.ts'
import type { ItemReference } from '../items/input-item.ts'
import { type Item, itemId } from '../items/item.ts'
import type { ModelInUse } from '../models/model-directory.ts'
import type { RequestPlan } from '../request-plan.ts'
import type { ServedEngine } from '../served-engine.ts'
import { planResponse } from './response-plan.ts'
import { ResponseRun } from './response-run.ts'
import { conversationOf, ResponseStore, type StoredResponse } from './response-store.ts'
import type { ResponsesBody } from './responses-body.ts'

/** A response that was asked for and has not begun. */
export interface Prepared {
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
  readonly #constraints: ConstraintChecker | undefined

  constructor(constraints: ConstraintChecker | undefined) {
    this.#constraints = constraints
  }

  /**
   * @param model that makes it
   * @param last a response that is known though it is not kept
   * @throws IncipitError and ServerError for what is wrong in the body
   */
  async prepare(body: ResponsesBody, { engine, name, defaults }: ModelInUse, last?: StoredResponse): Promise<Prepared> {
    const input = this.#input(body, last)
    const plan = await planResponse(body, input, engine, defaults)
    await checkConstraint(this.#constraints, plan.constraint)
    return { body, plan, run: new ResponseRun(body, plan, name), engine, input }
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
