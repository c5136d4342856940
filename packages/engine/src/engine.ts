import { Channel } from './channel.ts'
import { IncipitError } from './errors.ts'
import type { Flight } from './flight.ts'
import { type Loaded, load, slackCells } from './load.ts'
import { Loop } from './loop.ts'
import { LookupIndex } from './propose/lookup.ts'
import { planSkim } from './propose/skim.ts'
import { Reply } from './reply.ts'
import type {
  ChatMessage,
  EngineOptions,
  GenerateEvent,
  GenerateRequest,
  ModelInfo,
  Policy,
  ProposerName,
} from './request.ts'
import type { EngineStats } from './stats.ts'
import { promptTokens } from './text/prompt.ts'
import { normalise } from './validate.ts'

/** A reply that is being made: read its events, or cancel it. Leaving the loop early cancels too. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  cancel(): void
}

/**
 * Runs one model for any number of requests at once.
 *
 * @example
 * await using engine = await Engine.load('model.gguf')
 * for await (const event of engine.generate({ prompt: 'Once upon a time', maxTokens: 32 })) {
 *   if (event.type === 'delta') process.stdout.write(event.text)
 * }
 */
export class Engine implements AsyncDisposable {
  readonly info: ModelInfo
  readonly #loaded: Loaded
  readonly #loop: Loop
  /** Tokens that the chat template puts after the last message. */
  readonly #suffix: number
  #closed = false

  private constructor(loaded: Loaded) {
    this.info = loaded.info
    this.#loaded = loaded
    this.#loop = new Loop(loaded)
    this.#suffix = this.#vocab.tokenize(loaded.template?.generationSuffix() ?? '', { special: true }).length
  }

  /**
   * Loads a GGUF model.
   * @throws IncipitError `model_not_found`, `model_invalid`, `model_unsupported`, `context_memory`, `native_library`
   */
  static async load(path: string, options: EngineOptions = {}): Promise<Engine> {
    const engine = new Engine(await load(path, options))
    try {
      await engine.#loop.warmUp()
    } catch (error) {
      await engine.close()
      throw error
    }
    return engine
  }

  /**
   * Starts a reply.
   * @throws IncipitError `invalid_request`, `context_overflow`, `chat_template`, `closed`, at once
   */
  generate(request: GenerateRequest): Generation {
    const channel = new Channel<GenerateEvent>()
    const flight = this.#flight(request, channel)
    const cancel = () => this.#loop.cancel(flight)
    request.signal?.addEventListener('abort', cancel, { once: true })
    this.#loop.submit(flight)
    if (request.signal?.aborted) cancel()
    return {
      cancel,
      async *[Symbol.asyncIterator]() {
        try {
          yield* channel.read()
        } finally {
          request.signal?.removeEventListener('abort', cancel)
          cancel()
        }
      },
    }
  }

  #flight(request: GenerateRequest, channel: Channel<GenerateEvent>): Flight {
    if (this.#closed) throw new IncipitError('closed', 'the engine was closed')
    const checked = normalise(request)
    const prompt = this.#tokens(request)
    if (prompt.length === 0) throw new IncipitError('invalid_request', 'the prompt is empty', { param: 'prompt' })
    const most = Math.min(this.info.contextLength, this.#loaded.cells - slackCells) - 1
    if (prompt.length > most) {
      throw new IncipitError('context_overflow', `the prompt has ${prompt.length} tokens; at most ${most} fit`)
    }
    const proposers = this.#proposersFor(checked.proposers, checked.policy)
    const vocab = this.#vocab
    return {
      prompt,
      sampling: checked.sampling,
      maxTokens: checked.maxTokens,
      proposers,
      provisional: checked.policy === 'provisional',
      reply: new Reply({
        pieceOf: (token) => vocab.pieceOf(token),
        isEnd: (token) => vocab.isEndOfGeneration(token),
        stop: checked.stop,
        provisional: checked.policy === 'provisional',
        minStability: checked.minStability,
        emit: (event) => channel.push(event),
      }),
      lookup: proposers.has('lookup') ? new LookupIndex() : undefined,
      skim: proposers.has('skim') ? planSkim(prompt.length, request.messages ? this.#suffix : 0) : undefined,
      look: undefined,
      sequence: undefined,
      cells: 0,
      guesses: [],
      draft: undefined,
      close: (error) => channel.close(error),
    }
  }

  /** Text to token ids. `special`: text such as `<|im_end|>` becomes the special token. */
  tokenize(text: string, options: { special?: boolean } = {}): number[] {
    return this.#vocab.tokenize(text, options)
  }

  /** Token ids to text; incomplete characters become U+FFFD. */
  detokenize(tokens: readonly number[]): string {
    return new TextDecoder().decode(Buffer.concat(tokens.map((token) => this.#vocab.pieceOf(token))))
  }

  /** The prompt text of a conversation, as the model's chat template renders it. */
  renderChat(messages: readonly ChatMessage[]): string {
    return this.#template.render(messages)
  }

  /** Counters since the model was loaded, and the load now. */
  stats(): EngineStats {
    return { ...this.#loop.stats, ...this.#loop.load }
  }

  /**
   * Compares what the engine believes with what the KV caches hold, per stage and slot. An empty list is a clean audit.
   * Only meaningful between steps: `idle()` waits for that.
   */
  audit(): string[] {
    const wrong: string[] = []
    const bySlot = new Map([...this.#loop.core.sequences].map((sequence) => [sequence.slot, sequence]))
    for (const [index, stage] of this.#loaded.device.stages.entries()) {
      for (let slot = 0; slot < this.#loaded.slots; slot++) {
        const held = stage.context.positions(slot)
        const rows = held === undefined ? 0 : held.first === 0 ? held.last + 1 : Number.NaN
        const believed = bySlot.get(slot)?.computed[index] ?? 0
        if (rows !== believed) wrong.push(`stage ${index} slot ${slot}: the cache holds ${rows} rows, not ${believed}`)
      }
    }
    return wrong
  }

  /** Resolves when no request is left. */
  idle(): Promise<void> {
    return this.#loop.idle()
  }

  /** Cancels what runs and frees the model. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#loop.failAll(new IncipitError('closed', 'the engine was closed'))
    await this.idle()
    this.#loaded.device[Symbol.dispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #vocab() {
    const stage = this.#loaded.device.stages[0]
    if (stage === undefined) throw new IncipitError('closed', 'the engine was closed')
    return stage.model.vocab
  }

  get #template() {
    if (this.#loaded.template === undefined) {
      throw new IncipitError('chat_template', `${this.info.name} carries no chat template; use a raw prompt`)
    }
    return this.#loaded.template
  }

  #tokens(request: GenerateRequest): readonly number[] {
    const vocab = this.#vocab
    if (request.messages !== undefined) return promptTokens(this.#template, vocab, request.messages)
    const { prompt } = request
    if (typeof prompt === 'string') return vocab.tokenize(prompt, { addBos: vocab.addsBos })
    for (const token of prompt!) vocab.pieceOf(token)
    return [...prompt!]
  }

  #proposersFor(wanted: readonly ProposerName[] | undefined, policy: Policy): ReadonlySet<ProposerName> {
    // A look shows its guess early and costs a few rows; where nothing provisional is shown it is not worth them.
    const names: readonly ProposerName[] =
      wanted ?? (policy === 'provisional' ? ['skim', 'exit', 'lookup'] : ['exit', 'lookup'])
    return new Set(names.filter((name) => this.info.proposers[name].available))
  }
}
