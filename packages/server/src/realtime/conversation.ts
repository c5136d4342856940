import { randomInt } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import {
  biasPairs,
  type ChatMessage,
  type Generation,
  IncipitError,
  type InputOptions,
  isLossy,
  type ProvisionalEvent,
} from '@incipit/engine/api'
import { inWordsOf } from '../answer.ts'
import type { ChatForm } from '../chat-form.ts'
import { errorAnswer } from '../errors.ts'
import { type Item, itemId } from '../items/item.ts'
import { messageOf } from '../items/messages-of.ts'
import type { ModelGuest } from '../models/model-directory.ts'
import { newId } from '../new-id.ts'
import { policyProblem } from '../policy.ts'
import { requireExit } from '../require-exit.ts'
import type { ServedInput } from '../served-engine.ts'
import type { Outbox } from '../socket/outbox.ts'
import type { ClientEvent } from './client-events.ts'
import { Progress } from './progress.ts'
import { Reply, type Status } from './reply.ts'
import { type FormPlanner, formOf, spelledOut } from './session-form.ts'
import type { SessionParameters } from './session-parameters.ts'
import { forResponse, inputOptions, requestOptions, type Settings, updated } from './settings.ts'
import { sizeOf, Turns } from './turns.ts'
import { wireItem } from './wire-item.ts'

export interface ConversationOptions extends FormPlanner {
  open: (options: InputOptions) => ServedInput
  outbox: Outbox
  /** What the API calls the model. */
  model: string
  /** The model is used while an event is handled, and while a response is made. */
  guest: ModelGuest
  /** Settings of a session that says nothing, and what they come to. */
  defaults: { readonly settings: Settings; readonly form: ChatForm }
  /** Most text of the conversation and its open message together, in UTF-16 units. */
  textLimit: number
  /** A response could not be made; the client was told. */
  report: (error: unknown) => void
}

/** Seeds that the client leaves to the server come from 0 .. 2^31 - 1. */
const SEEDS = 2 ** 31

/** The conversation of one connection: its client's events become calls of an open input, and its replies events. */
export class Conversation {
  readonly #id = newId('sess')
  readonly #outbox: Outbox
  readonly #options: ConversationOptions
  readonly #turns = new Turns()
  #input: ServedInput
  /** Revisions before the input was opened anew. */
  #formerRevs = 0
  #settings: Settings
  #form: ChatForm
  /** Of the next response, which may have begun before it is asked for. */
  #seed = randomInt(SEEDS)
  #next: Reply
  #running: { id: string; cancel(): void } | undefined
  readonly #progress: Progress
  #closed = false

  /** @throws IncipitError `closed` */
  constructor(options: ConversationOptions) {
    const { outbox, defaults } = options
    this.#options = options
    this.#outbox = outbox
    this.#next = new Reply(outbox)
    this.#progress = new Progress(outbox)
    this.#settings = defaults.settings
    this.#form = defaults.form
    this.#input = this.#open(this.#settings, this.#form)
    outbox.send('session.created', { session: this.#card })
  }

  /** Whether a response is being made. */
  get responding(): boolean {
    return this.#running !== undefined
  }

  /**
   * Handles an event; the next one is handed over when this one is done with.
   *
   * @throws IncipitError and ServerError, to be told to the client; the conversation goes on
   */
  async handle(event: ClientEvent): Promise<void> {
    const release = this.#options.guest.use()
    try {
      await this.#obey(event)
    } finally {
      release()
    }
  }

  async #obey(event: ClientEvent): Promise<void> {
    switch (event.type) {
      case 'session.update':
        return this.#update(event.session)
      case 'input_text.append':
        this.#bound(this.#size + this.#input.text.length + event.text.length, 'text')
        return this.#input.append(event.text)
      case 'input_text.replace':
        this.#bound(this.#size + event.base + event.text.length, 'text')
        return this.#input.replace(event.base, event.text)
      case 'input_text.clear':
        return this.#input.clear()
      case 'input_text.commit':
        return this.#commit()
      case 'conversation.replace':
        return this.#replaceTurns(event.messages)
      case 'conversation.item.create':
        return this.#addItem(event.item, event.previous_item_id)
      case 'conversation.item.delete':
        return this.#deleteItem(event.item_id)
      case 'conversation.item.retrieve':
        return this.#outbox.send('conversation.item.retrieved', { item: wireItem(this.#turns.item(event.item_id)) })
      case 'response.create':
        return this.#respond(event)
      case 'response.cancel':
        if (this.#running === undefined || (event.response_id ?? this.#running.id) !== this.#running.id) {
          throw invalid('response_id', 'there is no such response to cancel: it is done, or was never created')
        }
        return this.#running.cancel()
    }
  }

  /** Ends everything; nothing is sent any more. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#running?.cancel()
    this.#input.close()
  }

  // --- settings ---------------------------------------------------------------------------------------------------------

  #open(settings: Settings, form: ChatForm): ServedInput {
    const { cache_salt: cacheSalt } = settings
    return this.#options.open({
      ...inputOptions(settings, this.#seed),
      ...spelledOut(form),
      messages: form.messages(this.#turns.messages(settings.instructions)),
      ...(cacheSalt === null ? {} : { cacheSalt }),
      onProgress: (progress) => this.#progress.tell({ ...progress, rev: this.#formerRevs + progress.rev }),
      onPreview: (event) => this.#tellPreview(event),
    })
  }

  async #update(update: SessionParameters): Promise<void> {
    const settings = updated(this.#settings, update, this.#options.defaults.settings)
    this.#check(settings, 'session')
    if (!settings.cache_prompt && settings.speculate !== 'off') {
      throw invalid('session.cache_prompt', 'false needs "speculate": "off": what is computed ahead could not be used')
    }
    const { info } = this.#options.engine
    if (!settings.raw && !info.hasChatTemplate) {
      throw new IncipitError('chat_template', `${info.name} carries no chat template`, { param: 'raw' })
    }
    const form = await formOf(settings, this.#options, 'session')
    if (this.#closed) return
    if (settings.cache_salt !== this.#settings.cache_salt) this.#move(settings, form)
    else this.#configure(settings, form)
    this.#settings = settings
    this.#form = form
    this.#outbox.send('session.updated', { session: this.#card })
  }

  #configure(settings: Settings, form: ChatForm): void {
    const messages = form.messages(this.#turns.messages(settings.instructions))
    const changed = !settings.raw && !isDeepStrictEqual(messages, this.#input.messages)
    if (changed) {
      const param = settings.instructions === this.#settings.instructions ? 'session.tools' : 'session.instructions'
      // The running reply has its place in the conversation as it is now.
      if (this.#running) throw invalid(param, 'cannot change while a response is made')
      this.#bound(this.#turns.size + lengthOf(settings.instructions) + this.#input.text.length, param)
    }
    this.#input.configure({
      ...inputOptions(settings, this.#seed),
      ...spelledOut(form),
      ...(changed && { messages }),
    })
  }

  /** Into another namespace. What was computed in the former one stays there, so it has to be nothing. */
  #move(settings: Settings, form: ChatForm): void {
    if (this.#running || this.#turns.count > 0 || this.#input.text !== '') {
      throw invalid('session.cache_salt', 'can only be set before the conversation begins')
    }
    this.#bound(lengthOf(settings.instructions), 'session.instructions')
    const former = this.#input
    this.#input = this.#open(settings, form)
    this.#formerRevs += former.rev
    former.close()
  }

  /** @throws IncipitError `invalid_request` for a policy that is impossible, here or on this model */
  #check({ policy, provisional, logit_bias: biases }: Settings, at: 'session' | 'response'): void {
    const { info } = this.#options.engine
    for (const [token] of biasPairs(biases ?? [])) {
      if (typeof token === 'string' || token < info.vocabulary) continue
      throw invalid(`${at}.logit_bias`, `token ${token} is outside the vocabulary of ${info.vocabulary}`)
    }
    const problem = policyProblem(policy, provisional, 'the setting "provisional": true')
    if (problem !== undefined) throw invalid(`${at}.policy`, problem)
    requireExit(policy, info, `${at}.policy`)
  }

  // --- turns ------------------------------------------------------------------------------------------------------------

  #commit(): void {
    const { content } = this.#input.commit()
    if (this.#settings.raw) return
    const said = { type: 'message', status: 'completed', role: 'user' } as const
    this.#add([{ id: itemId('message'), ...said, content: [{ type: 'input_text', text: content }] }])
  }

  #addItem(item: Item, previous: string | null | undefined): void {
    if (this.#settings.raw) throw invalid('type', 'a raw text is the prompt itself: there is no conversation')
    if (this.#turns.has(item.id)) throw invalid('item.id', 'is the id of another item')
    const place = this.#turns.placeAfter(previous)
    if (this.#running && place < this.#turns.count) throw invalid('previous_item_id', fixed)
    this.#bound(this.#size + sizeOf(messageOf(item)) + this.#input.text.length, 'item')
    this.#add([item], place)
  }

  #deleteItem(id: string): void {
    if (this.#running) throw invalid('item_id', fixed)
    this.#turns.delete(id)
    this.#outbox.send('conversation.item.deleted', { item_id: id })
    this.#agree()
  }

  /** Another conversation in front of the open message: a client that connects again, or that goes back to an earlier turn. */
  #replaceTurns(messages: readonly ChatMessage[]): void {
    if (this.#running) throw invalid('type', fixed)
    const size = messages.reduce((sum, message) => sum + sizeOf(message), lengthOf(this.#settings.instructions))
    this.#bound(size + this.#input.text.length, 'messages')
    this.#turns.replace(messages)
    this.#agree()
  }

  #add(items: readonly Item[], place = this.#turns.count): void {
    this.#turns.insert(items, place)
    for (const [i, item] of items.entries()) {
      const told = { previous_item_id: this.#turns.idBefore(place + i), item: wireItem(item) }
      this.#outbox.send('conversation.item.added', told)
      this.#outbox.send('conversation.item.done', told)
    }
    this.#agree()
  }

  /** The engine's conversation becomes this one, where it is another. */
  #agree(): void {
    const messages = this.#form.messages(this.#turns.messages(this.#settings.instructions))
    if (!isDeepStrictEqual(messages, this.#input.messages)) this.#input.configure({ messages })
  }

  // --- responses --------------------------------------------------------------------------------------------------------

  async #respond({ response, event_id: eventId }: ClientEvent & { type: 'response.create' }): Promise<void> {
    if (this.#running) throw invalid('type', `the response ${this.#running.id} is not done: one at a time`)
    const settings = response ? forResponse(this.#settings, response) : this.#settings
    this.#check(settings, 'response')
    const form = response ? await formOf(settings, this.#options, 'response') : this.#form
    if (this.#closed) return
    const { raw } = settings
    const conversation = this.#turns.messages(settings.instructions)
    if (raw ? this.#input.text === '' : conversation.length === 0) {
      const missing = raw ? 'the text is empty' : 'the conversation is empty: commit a text first'
      throw invalid('type', `there is nothing to answer: ${missing}`)
    }
    const messages = form.messages(conversation)
    const reply = this.#next
    // Messages that are committed while the reply is made come after it.
    const place = this.#turns.count
    const generation = this.#input.respond({
      ...(response && { ...requestOptions(settings, this.#seed), ...spelledOut(form) }),
      ...(!raw && !isDeepStrictEqual(messages, this.#input.messages) && { messages }),
      ...(typeof response?.prediction === 'string' ? { prediction: response.prediction } : {}),
    })
    this.#next = new Reply(this.#outbox)
    this.#running = { id: reply.id, cancel: () => generation.cancel() }
    reply.created({ shape: form.shape, lossy: isLossy(settings.policy), metadata: response?.metadata ?? null })
    void this.#tell(reply, generation, place, form, eventId ?? null)
  }

  async #tell(
    reply: Reply,
    generation: Generation,
    place: number,
    form: ChatForm,
    eventId: string | null,
  ): Promise<void> {
    const release = this.#options.guest.use()
    try {
      await reply.tell(generation, (status) => {
        this.#turnOver()
        this.#join(reply, status, place)
      })
    } catch (thrown) {
      this.#turnOver()
      if (this.#closed) return
      this.#options.report(thrown)
      const { error } = errorAnswer(inWordsOf(form, thrown)).body
      this.#outbox.send('error', { error: { ...error, event_id: eventId } })
      reply.failed(error)
    } finally {
      release()
    }
  }

  /** A reply becomes part of the conversation; one that was interrupted, as far as it said something. */
  #join({ items }: Reply, status: Status, place: number): void {
    if (this.#closed || this.#settings.raw) return
    const says = (item: Item) => item.type === 'function_call' || (item.type === 'message' && item.content[0]?.text)
    if (status !== 'cancelled' || items.some(says)) this.#add(items, place)
  }

  /** The response is over: the next one has a seed of its own. */
  #turnOver(): void {
    this.#running = undefined
    // Greedy replies do not read it, and what was begun for the next one may stand.
    if (this.#closed || this.#settings.seed !== null || this.#settings.temperature === 0) return
    this.#seed = randomInt(SEEDS)
    this.#input.configure({ seed: this.#seed })
  }

  /** UTF-16 units of the conversation without the open message. */
  get #size(): number {
    return this.#turns.size + lengthOf(this.#settings.instructions)
  }

  /** @throws IncipitError `invalid_request` when the conversation and the open text may not become this long together */
  #bound(length: number, param: string): void {
    const { textLimit } = this.#options
    if (length <= textLimit) return
    throw invalid(param, `the conversation would be longer than ${textLimit} UTF-16 units`)
  }

  #tellPreview(event: ProvisionalEvent): void {
    if (this.#settings.provisional) this.#next.preview(event, this.#form.shape, this.#input.text.length)
  }

  get #card(): object {
    return {
      id: this.#id,
      object: 'realtime.session',
      type: 'realtime',
      model: this.#options.model,
      output_modalities: ['text'],
      ...this.#settings,
    }
  }
}

const fixed = 'the conversation stays as it is while a response is made, but for what is added at its end'

function invalid(param: string, message: string): IncipitError {
  return new IncipitError('invalid_request', message, { param })
}

function lengthOf(text: string | null): number {
  return text?.length ?? 0
}
