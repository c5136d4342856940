import type { Engine, InputSession } from '@incipit/engine'
import {
  type ChatMessage,
  type DoneEvent,
  type GenerateEvent,
  type InputOptions,
  isLossy,
  type Policy,
  type ProvisionalEvent,
  type TierName,
} from '@incipit/engine/api'

/** What can be changed while one talks. */
export interface ChatSettings {
  policy: Policy
  tier: TierName
  /** Empty: none. */
  system: string
}

export interface ConversationEvents {
  /** How much of the open message is read, 0 to 1. */
  read(share: number): void
  /** What the reply will begin with, if the message stays as it is; empty: nothing is known. */
  preview(text: string): void
}

/** Where engines come from. */
export interface Engines {
  /**
   * The path of a model.
   * @param giver what gave its name, for messages
   */
  find(model: string | undefined, giver: '--model' | '/model'): Promise<string>
  /** @throws as `Engine.load` */
  load(path: string): Promise<Engine>
}

/**
 * A conversation with a model, without a terminal: the open message, the turns before it, and what can be changed on the
 * way. A model without a chat template continues the text instead: the conversation is then one text.
 */
export class Conversation {
  readonly settings: ChatSettings
  readonly #engines: Engines
  readonly #sampling: InputOptions
  readonly #events: ConversationEvents
  #engine: Engine
  #input: InputSession
  /** Without a template: everything said so far. */
  #said = ''
  last: DoneEvent | undefined

  private constructor(
    engine: Engine,
    engines: Engines,
    { settings, sampling, events }: { settings: ChatSettings; sampling: InputOptions; events: ConversationEvents },
  ) {
    this.#engine = engine
    this.#engines = engines
    this.settings = settings
    this.#sampling = sampling
    this.#events = events
    this.#input = this.#open([])
  }

  /** @throws as `Engine.load` */
  static async begin(
    engines: Engines,
    options: { model: string | undefined; settings: ChatSettings; sampling: InputOptions; events: ConversationEvents },
  ): Promise<Conversation> {
    const path = await engines.find(options.model, '--model')
    return new Conversation(await engines.load(path), engines, options)
  }

  get engine(): Engine {
    return this.#engine
  }

  /** The turns, without the system message. */
  get turns(): ChatMessage[] {
    return this.#input.messages.filter(({ role }) => role !== 'system')
  }

  get lossy(): boolean {
    return isLossy(this.settings.policy)
  }

  /** The model continues a text that may be code. */
  get isCode(): boolean {
    return this.#raw && this.#engine.info.fim !== undefined
  }

  /** The open message now reads this. */
  revise(text: string): void {
    this.#input.revise(this.#said + text)
  }

  /**
   * Answers the open message. A reply that was begun in a pause is released.
   * @throws as `Engine.generate`
   */
  async *send(text: string, signal: AbortSignal): AsyncGenerator<GenerateEvent, void, undefined> {
    this.revise(text)
    this.#events.preview('')
    this.#input.commit()
    let reply = ''
    for await (const event of this.#input.respond({ signal })) {
      if (event.type === 'delta') reply += event.text
      if (event.type === 'done') this.last = event
      yield event
    }
    if (this.#raw) this.#said = this.#input.text + reply
    // A whole reply has joined the conversation; of a cancelled one this is to be told.
    else if (this.last?.finishReason === 'cancelled' && reply !== '')
      this.#restore([...this.turns, { role: 'assistant', content: reply }])
  }

  /** Changes settings from the next reply on. */
  change(settings: Partial<ChatSettings>): void {
    Object.assign(this.settings, settings)
    this.#restore(this.turns)
  }

  /** Another model goes on with the same conversation. When it cannot be loaded, the former one does. */
  async changeModel(model: string): Promise<void> {
    const { turns } = this
    const path = await this.#engines.find(model, '/model')
    const former = this.#engine.info.path
    this.#input.close()
    await this.#engine.close()
    try {
      this.#engine = await this.#engines.load(path)
    } catch (error) {
      this.#engine = await this.#engines.load(former)
      throw error
    } finally {
      this.#said = ''
      this.#input = this.#open(turns)
    }
  }

  /** These turns, instead of those that there are. */
  restore(turns: readonly ChatMessage[]): void {
    this.#said = ''
    this.#input.clear()
    this.#restore(turns)
  }

  async close(): Promise<void> {
    this.#input.close()
    await this.#engine.close()
  }

  get #raw(): boolean {
    return !this.#engine.info.hasChatTemplate
  }

  #restore(turns: readonly ChatMessage[]): void {
    const { policy, tier } = this.settings
    this.#input.configure({ policy, tier, ...(this.#raw ? {} : { messages: this.#withSystem(turns) }) })
  }

  #withSystem(turns: readonly ChatMessage[]): ChatMessage[] {
    const { system } = this.settings
    return system === '' ? [...turns] : [{ role: 'system', content: system }, ...turns]
  }

  #open(turns: readonly ChatMessage[]): InputSession {
    const { policy, tier } = this.settings
    return this.#engine.open({
      ...this.#sampling,
      policy,
      tier,
      speculate: 'reply',
      raw: this.#raw,
      ...(this.#raw ? {} : { messages: this.#withSystem(turns) }),
      onProgress: ({ tokens, computed }) => this.#events.read(tokens === 0 ? 0 : computed / tokens),
      onPreview: ({ text }: ProvisionalEvent) => this.#events.preview(text),
    })
  }
}
