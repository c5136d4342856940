import { randomInt } from 'node:crypto'
import { type ChatMessage, type Generation, IncipitError, isLossy, type ProvisionalEvent } from '@incipit/engine/api'
import { errorAnswer } from '../errors.ts'
import { policyProblem } from '../policy.ts'
import type { PlanDefaults } from '../request-plan.ts'
import { requireExit } from '../require-exit.ts'
import type { ServedEngine, ServedInput } from '../served-engine.ts'
import type { ClientEvent } from './client-events.ts'
import { newId, type Outbox } from './outbox.ts'
import { Reply } from './reply.ts'
import { defaultsOf, forResponse, inputOptions, requestOptions, type Settings, updated } from './settings.ts'

export interface ConversationOptions {
  engine: Required<Pick<ServedEngine, 'info' | 'open'>>
  outbox: Outbox
  /** What the API calls the model. */
  model: string
  /** The server's defaults of some settings. */
  defaults: PlanDefaults
  /** Most text of the conversation and its open message together, in UTF-16 units. */
  textLimit: number
  /** A response could not be made; the client was told. */
  report: (error: unknown) => void
}

/** Seeds that the client leaves to the server come from 0 .. 2^31 - 1. */
const SEEDS = 2 ** 31

/** The conversation of one connection: its client's events become calls of an open input, and its replies events. */
export class Conversation {
  readonly #engine: ConversationOptions['engine']
  readonly #outbox: Outbox
  readonly #options: ConversationOptions
  #input: ServedInput
  /** Revisions before the input was opened anew. */
  #formerRevs = 0
  readonly #defaults: Settings
  #settings: Settings
  /** Of the next response, which may have begun before it is asked for. */
  #seed = randomInt(SEEDS)
  #next: Reply
  #running: { id: string; cancel(): void } | undefined
  /** The last progress while the client could not take more. */
  #progress: object | undefined
  #closed = false

  /** @throws IncipitError `closed` */
  constructor(options: ConversationOptions) {
    const { engine, outbox } = options
    this.#options = options
    this.#engine = engine
    this.#outbox = outbox
    this.#next = new Reply(outbox)
    this.#defaults = { ...defaultsOf(options.defaults), raw: !engine.info.hasChatTemplate }
    this.#settings = this.#defaults
    this.#input = this.#open(this.#settings, [])
    outbox.send('session.created', { session: this.#card })
  }

  readonly #id = newId('sess')

  /** Whether a response is being made. */
  get responding(): boolean {
    return this.#running !== undefined
  }

  /** @throws IncipitError and ServerError, to be told to the client; the conversation goes on */
  handle(event: ClientEvent): void {
    switch (event.type) {
      case 'session.update':
        this.#update(updated(this.#settings, event.session, this.#defaults))
        this.#outbox.send('session.updated', { session: this.#card })
        return
      case 'input_text.append':
        this.#bound(this.#input.text.length + event.text.length, 'text')
        this.#input.append(event.text)
        return
      case 'input_text.replace':
        this.#bound(event.base + event.text.length, 'text')
        this.#input.replace(event.base, event.text)
        return
      case 'input_text.clear':
        this.#input.clear()
        return
      case 'input_text.commit':
        this.#input.commit()
        return
      case 'conversation.replace':
        this.#replaceTurns(event.messages)
        return
      case 'response.create':
        this.#respond(event)
        return
      case 'response.cancel':
        if (this.#running === undefined || (event.response_id ?? this.#running.id) !== this.#running.id) {
          throw invalid('response_id', 'there is no such response to cancel: it is done, or was never created')
        }
        this.#running.cancel()
        return
    }
  }

  /** Ends everything; nothing is sent any more. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#running?.cancel()
    this.#input.close()
  }

  #open(settings: Settings, messages: readonly ChatMessage[]): ServedInput {
    const { cache_salt: cacheSalt } = settings
    return this.#engine.open({
      ...inputOptions(settings, this.#seed),
      messages,
      ...(cacheSalt === null ? {} : { cacheSalt }),
      onProgress: (progress) => this.#tellProgress({ ...progress, rev: this.#formerRevs + progress.rev }),
      onPreview: (event) => this.#tellPreview(event),
    })
  }

  #update(settings: Settings): void {
    this.#check(settings, 'session')
    if (!settings.cache_prompt && settings.speculate !== 'off') {
      throw invalid('session.cache_prompt', 'false needs "speculate": "off": what is computed ahead could not be used')
    }
    if (!settings.raw && !this.#engine.info.hasChatTemplate) {
      throw new IncipitError('chat_template', `${this.#engine.info.name} carries no chat template`, { param: 'raw' })
    }
    const former = this.#settings
    const { instructions } = settings
    if (settings.cache_salt !== former.cache_salt) this.#move(settings)
    else if (instructions === former.instructions) {
      this.#input.configure(inputOptions(settings, this.#seed))
    } else {
      // The running reply has its place in the conversation as it is now.
      if (this.#running) throw invalid('session.instructions', 'cannot change while a response is made')
      const before = this.#input.messages
      const turns = before.slice(former.instructions === null ? 0 : 1)
      const messages = this.#behindInstructions(turns, settings)
      this.#bound(lengthOf(messages) - lengthOf(before) + this.#input.text.length, 'session.instructions')
      this.#input.configure({ ...inputOptions(settings, this.#seed), messages })
    }
    this.#settings = settings
  }

  /** Another conversation in front of the open message: a client that connects again, or that goes back to an earlier turn. */
  #replaceTurns(turns: readonly ChatMessage[]): void {
    // The running reply has its place in the conversation as it is now.
    if (this.#running) throw invalid('type', 'the conversation cannot be replaced while a response is made')
    const messages = this.#behindInstructions(turns)
    this.#bound(lengthOf(messages) - lengthOf(this.#input.messages) + this.#input.text.length, 'messages')
    this.#input.configure({ messages })
  }

  #behindInstructions(turns: readonly ChatMessage[], { instructions } = this.#settings): ChatMessage[] {
    return instructions === null ? [...turns] : [{ role: 'system', content: instructions }, ...turns]
  }

  /** Into another namespace. What was computed in the former one stays there, so it has to be nothing. */
  #move(settings: Settings): void {
    const turns = this.#input.messages.length - (this.#settings.instructions === null ? 0 : 1)
    if (this.#running || turns > 0 || this.#input.text !== '') {
      throw invalid('session.cache_salt', 'can only be set before the conversation begins')
    }
    const { instructions } = settings
    const messages = this.#behindInstructions([], settings)
    if (instructions !== null) this.#bound(instructions.length - lengthOf(this.#input.messages), 'session.instructions')
    const former = this.#input
    this.#input = this.#open(settings, messages)
    this.#formerRevs += former.rev
    former.close()
  }

  /** @throws IncipitError `invalid_request` for a policy that is impossible, here or on this model */
  #check({ policy, provisional }: Settings, at: 'session' | 'response'): void {
    const problem = policyProblem(policy, provisional, 'the setting "provisional": true')
    if (problem !== undefined) throw invalid(`${at}.policy`, problem)
    requireExit(policy, this.#engine.info, `${at}.policy`)
  }

  #respond(event: ClientEvent & { type: 'response.create' }): void {
    if (this.#running) throw invalid('type', `the response ${this.#running.id} is not done: one at a time`)
    const { raw } = this.#settings
    if (raw ? this.#input.text === '' : this.#input.messages.length === 0) {
      const missing = raw ? 'the text is empty' : 'the conversation is empty: commit a text first'
      throw invalid('type', `there is nothing to answer: ${missing}`)
    }
    const { response } = event
    const settings = response ? forResponse(this.#settings, response) : this.#settings
    this.#check(settings, 'response')
    const reply = this.#next
    // Messages that are committed while the reply is made come after it.
    const place = this.#input.messages.length
    const generation = this.#input.respond({
      ...(response ? requestOptions(settings, this.#seed) : {}),
      ...(typeof response?.prediction === 'string' ? { prediction: response.prediction } : {}),
    })
    this.#next = new Reply(this.#outbox)
    this.#running = { id: reply.id, cancel: () => generation.cancel() }
    reply.created(isLossy(settings.policy))
    void this.#tell(reply, generation, place, event.event_id ?? null)
  }

  async #tell(reply: Reply, generation: Generation, place: number, eventId: string | null): Promise<void> {
    try {
      await reply.tell(generation, (status) => {
        this.#turnOver()
        // What was said before it was interrupted is part of the conversation; of a finished reply the engine sees to it.
        if (status === 'cancelled' && reply.text !== '' && !this.#closed && !this.#settings.raw) {
          const said = { role: 'assistant', content: reply.text }
          this.#input.configure({ messages: this.#input.messages.toSpliced(place, 0, said) })
        }
      })
    } catch (error) {
      this.#turnOver()
      if (this.#closed) return
      this.#options.report(error)
      this.#outbox.send('error', { error: { ...errorAnswer(error).body.error, event_id: eventId } })
      reply.done('failed', null)
    }
  }

  /** The response is over: the next one has a seed of its own. */
  #turnOver(): void {
    this.#running = undefined
    // Greedy replies do not read it, and what was begun for the next one may stand.
    if (this.#closed || this.#settings.seed !== null || this.#settings.temperature === 0) return
    this.#seed = randomInt(SEEDS)
    this.#input.configure({ seed: this.#seed })
  }

  /** @throws IncipitError `invalid_request` when the open text may not become this long */
  #bound(length: number, param: string): void {
    const { textLimit } = this.#options
    if (lengthOf(this.#input.messages) + length <= textLimit) return
    throw invalid(param, `the conversation would be longer than ${textLimit} UTF-16 units`)
  }

  #tellProgress(progress: object): void {
    if (this.#progress === undefined && this.#outbox.full) {
      void this.#outbox.drained().then(() => {
        const last = this.#progress
        this.#progress = undefined
        if (last) this.#outbox.send('input_text.progress', last)
      })
    }
    if (this.#outbox.full) this.#progress = progress
    else this.#outbox.send('input_text.progress', progress)
  }

  #tellPreview(event: ProvisionalEvent): void {
    if (this.#settings.provisional) this.#next.preview(event)
  }

  get #card(): object {
    return { id: this.#id, object: 'realtime.session', model: this.#options.model, ...this.#settings }
  }
}

function invalid(param: string, message: string): IncipitError {
  return new IncipitError('invalid_request', message, { param })
}

function lengthOf(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + content.length, 0)
}
