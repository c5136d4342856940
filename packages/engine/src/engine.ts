import { IncipitError } from './api/errors.ts'
import type {
  ChatMessage,
  EngineOptions,
  GenerateEvent,
  GenerateRequest,
  ModelInfo,
  Policy,
  ProposerName,
} from './api/request.ts'
import type { EngineStats } from './api/stats.ts'
import { type CheckedRequest, normalise } from './api/validation.ts'
import type { CostProfile } from './core/cost/cost-model.ts'
import { commonPrefix } from './core/sequences/sequence-table.ts'
import { type InputHost, type InputOptions, InputSession } from './input/input-session.ts'
import { GrammarProposer } from './proposers/grammar.ts'
import { HeadsProposer } from './proposers/heads.ts'
import { Lookup, lookupAcceptance } from './proposers/lookup.ts'
import { Opening } from './proposers/opening.ts'
import { Prediction, predictedText, predictionAcceptance } from './proposers/prediction.ts'
import type { Proposer } from './proposers/proposer.ts'
import { planLooks } from './proposers/skim.ts'
import { type EngineParts, load, slackCells, tileRows } from './runtime/load/load.ts'
import { saveProfile } from './runtime/profile.ts'
import type { Flight } from './serving/active-request.ts'
import type { InputPrefill } from './serving/input-prefill.ts'
import { Loop } from './serving/loop.ts'
import { Reply } from './serving/reply.ts'
import { ReplyStream } from './serving/reply-stream.ts'
import { promptTokens } from './text/prompt.ts'

/** A reply that is being made: read its events, or cancel it. Leaving the loop early cancels too. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  cancel(): void
}

// Proposers of first tokens, which only those gain from who see guesses, and of any token.
const first: readonly ProposerName[] = ['opening', 'skim']
const later: readonly ProposerName[] = ['exit', 'heads', 'lookup', 'prediction', 'grammar', 'draft', 'experts', 'mtp']

/** Whether a policy shows guesses. */
function shows(policy: Policy): boolean {
  return policy === 'provisional' || policy === 'tolerant'
}

// More than any vocabulary needs on average.
const charactersPerToken = 16

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
  readonly #loaded: EngineParts
  readonly #loop: Loop
  /** Tokens that the chat template puts after the last message. */
  readonly #suffix: number
  #closed = false

  private constructor(loaded: EngineParts) {
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
    const channel = new ReplyStream<GenerateEvent>()
    const flight = this.#flight(request, (event) => channel.push(event))
    const generation = this.#reading(flight, channel, request.signal)
    this.#loop.submit(flight)
    return generation
  }

  /** Opens a conversation whose next message is still being written. Close it when it is no longer needed. */
  open(options: InputOptions = {}): InputSession {
    this.#live()
    return new InputSession(this.#inputHost, options)
  }

  /**
   * Computes a prompt, as an ordinary request, and keeps its rows for requests that begin the same way as long as nobody
   * needs the place.
   * @returns tokens of the prompt, and how many of them were there already
   * @throws as `generate`
   */
  async prefill(
    request: Pick<GenerateRequest, 'prompt' | 'messages' | 'cacheSalt' | 'signal'>,
  ): Promise<{ promptTokens: number; cachedTokens: number }> {
    // A reply of one token that nobody reads: the prompt's rows stay when it is done.
    const flight = this.#flight({ ...request, maxTokens: 1, proposers: [] }, () => {})
    const ended = new Promise<void>((resolve, reject) => {
      flight.close = (error) => (error === undefined ? resolve() : reject(error))
    })
    const deaf = onAbort(request.signal, () => this.#loop.cancel(flight))
    this.#loop.submit(flight)
    await ended.finally(deaf)
    return { promptTokens: flight.prompt.length, cachedTokens: flight.cached }
  }

  #reading(flight: Flight, channel: ReplyStream<GenerateEvent>, signal: AbortSignal | undefined): Generation {
    const cancel = () => this.#loop.cancel(flight)
    flight.close = (error) => channel.close(error)
    const deaf = onAbort(signal, cancel)
    return {
      cancel,
      async *[Symbol.asyncIterator]() {
        try {
          yield* channel.read()
        } finally {
          deaf()
          cancel()
        }
      },
    }
  }

  readonly #inputHost: InputHost = {
    check: (raw) => {
      if (!raw) void this.#template
    },
    openTokens: (messages, text, raw) => this.#openTokens(messages, text, raw),
    repliedTokens: (flight, prompt) => {
      const tokens = this.#tokens({ prompt })
      const { sequence } = flight
      if (!sequence || tokens.length > sequence.committed) return undefined
      return commonPrefix(sequence.tokens, tokens) === tokens.length ? tokens.length - flight.prompt.length : undefined
    },
    prepare: (request, text, emit) => this.#flight(request, emit, text),
    start: (flight) => this.#loop.submit(flight),
    adopt: (flight) => this.#loop.adopt(flight),
    cancel: (flight) => this.#loop.cancel(flight),
    follow: (text) => this.#loop.follow(text),
    forget: (text) => this.#loop.forget(text),
    generation: (flight, signal) => {
      const channel = new ReplyStream<GenerateEvent>()
      const generation = this.#reading(flight, channel, signal)
      return { generation, push: (event) => channel.push(event) }
    },
  }

  #flight(request: GenerateRequest, emit: (event: GenerateEvent) => void, text?: InputPrefill): Flight {
    this.#live()
    const checked = normalise(request)
    const prompt = this.#tokens(request)
    if (prompt.length === 0) throw new IncipitError('invalid_request', 'the prompt is empty', { param: 'prompt' })
    const most = Math.min(this.info.contextLength, this.#loaded.cells - slackCells) - 1
    if (prompt.length > most) {
      throw new IncipitError('context_overflow', `the prompt has ${prompt.length} tokens; at most ${most} fit`)
    }
    if (checked.policy === 'confident' && !this.info.proposers.exit.available) {
      const why = this.info.proposers.exit.note
      throw new IncipitError('invalid_request', `policy confident needs an exit: ${why}`, { param: 'policy' })
    }
    const proposers = checked.tier.speculates
      ? this.#proposersFor(checked.proposers, checked.policy)
      : new Set<ProposerName>()
    const vocab = this.#vocab
    return {
      prompt,
      sampling: checked.sampling,
      maxTokens: checked.maxTokens,
      allowed: proposers,
      policy: checked.policy,
      alpha: checked.alpha,
      provisional: shows(checked.policy),
      minStability: checked.minStability,
      reply: new Reply({
        pieceOf: (token) => vocab.pieceOf(token),
        isEnd: (token) => vocab.isEndOfGeneration(token),
        stop: checked.stop,
        provisional: shows(checked.policy),
        minStability: checked.minStability,
        emit,
      }),
      ...this.#askedFor(request, checked, proposers),
      grammar: request.grammar,
      looks: proposers.has('skim') ? planLooks(prompt.length, request.messages ? this.#suffix : 0, tileRows) : [],
      look: undefined,
      seen: undefined,
      cacheNamespace: request.cacheSalt ?? '',
      tier: checked.tier,
      arrival: performance.now(),
      wantsExit: proposers.has('exit'),
      shares: request.cachePrompt ?? true,
      cached: 0,
      input: text,
      ahead: undefined,
      revocable: false,
      resume: undefined,
      sequence: undefined,
      guesses: [],
      draft: undefined,
      ended: undefined,
      close: () => {},
    }
  }

  /** Who guesses for one request. */
  #askedFor(
    request: GenerateRequest,
    { tier, sampling }: CheckedRequest,
    proposers: ReadonlySet<ProposerName>,
  ): Pick<Flight, 'proposers' | 'opening' | 'heads'> {
    const { acceptances, openings, heads: matrices } = this.#loaded
    const vocab = this.#vocab
    const ends = (token: number) => vocab.isEndOfGeneration(token)
    // A sampled reply says what nobody expects more often than a greedy one.
    const kind = sampling.temperature > 0 ? `${tier.name}, sampled` : tier.name
    const heads = matrices && proposers.has('heads') ? new HeadsProposer(matrices, acceptances, kind, ends) : undefined
    const asks: Proposer[] = []
    if (request.grammar && proposers.has('grammar')) asks.push(new GrammarProposer(request.grammar, ends))
    if (request.prediction !== undefined && proposers.has('prediction')) {
      const { prediction } = request
      const text = typeof prediction === 'string' ? prediction : predictedText(prediction)
      asks.push(new Prediction(vocab.tokenize(text), predictionAcceptance(acceptances, kind), ends))
    }
    if (proposers.has('lookup')) asks.push(new Lookup(lookupAcceptance(acceptances, kind), ends))
    if (heads) asks.push(heads)
    // Only who sees guesses gains from one at the first token, but everybody's replies are learnt from.
    const learns = tier.speculates && this.info.proposers.opening.available
    const opening = learns ? new Opening(openings, request.cacheSalt ?? '', acceptances, kind, ends) : undefined
    return { proposers: asks, opening, heads }
  }

  /**
   * Computes a prompt and keeps its rows for good: they go only when nothing else is left to go. They are saved under the
   * name and read from disk at the next start, if the model, its cut and llama.cpp are the same.
   * @throws as `generate`; `prefix_invalid` when it cannot be written
   */
  async pinPrefix(
    name: string,
    request: Pick<GenerateRequest, 'prompt' | 'messages' | 'cacheSalt' | 'signal'>,
  ): Promise<{ promptTokens: number; cachedTokens: number }> {
    const { messages, ...rest } = request
    const beginning = this.#openTokens(messages ?? [], typeof rest.prompt === 'string' ? rest.prompt : '', !messages)
    // A template that rewrites content has no beginning that every conversation shares; a list of tokens is one.
    const tokens = beginning.length > 0 ? beginning : this.#tokens(request)
    const done = await this.prefill({ ...rest, prompt: tokens })
    // The last token's row is computed by every request for itself.
    await this.#loop.pin(name, tokens.slice(0, -1), request.cacheSalt ?? '')
    return done
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

  /** Measured milliseconds by rows of a step, per stage. */
  costProfile(): CostProfile {
    return this.#loop.costs.save()
  }

  /**
   * Compares what the engine believes with what the KV caches hold, per stage and slot. An empty list is a clean audit.
   * Only meaningful between steps: `idle()` waits for that.
   */
  audit(): string[] {
    const wrong: string[] = []
    const bySlot = new Map([...this.#loop.core.sequences].map((sequence) => [sequence.slot, sequence]))
    for (const [index, stage] of this.#loaded.stages.entries()) {
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
    const { acceptances, profileOf, log } = this.#loaded
    if (this.#loop.stats.steps > 0) {
      await saveProfile(profileOf, { costs: this.costProfile(), acceptances: acceptances.toJSON() }, log)
    }
    const { stages, second, devices } = this.#loaded
    for (const part of [...stages, ...(second ? [second.model] : []), ...devices]) part[Symbol.dispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #live(): void {
    if (this.#closed) throw new IncipitError('closed', 'the engine was closed')
  }

  /**
   * Tokens of a prompt whose last message is still open, up to its last token but one: the last one is likely to become
   * another when the text goes on.
   */
  #openTokens(messages: readonly ChatMessage[], text: string, raw: boolean): readonly number[] {
    const vocab = this.#vocab
    const addBos = vocab.addsBos
    // What lies beyond the context is not computed, so it need not be tokenised at every keystroke.
    const most = this.info.contextLength * charactersPerToken
    if (raw) return vocab.tokenize(text.slice(0, most), { addBos }).slice(0, -1)
    const tail = this.#template.openTail([...messages, { role: 'user', content: text || 'x' }])
    // A template that rewrites content cannot be computed ahead.
    if (tail === undefined) return []
    const whole = tail.before + (text === '' ? '' : tail.content)
    return vocab.tokenize(whole.slice(0, most), { special: true, addBos }).slice(0, -1)
  }

  get #vocab() {
    this.#live()
    return this.#loaded.stages[0]!.model.vocab
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
    const names: readonly ProposerName[] = wanted ?? (shows(policy) ? [...first, ...later] : later)
    return new Set(names.filter((name) => this.info.proposers[name].available))
  }
}

/**
 * Calls `cancel` when the signal is aborted; when it is already, as soon as the caller has started what is to be cancelled.
 * @returns stops listening
 */
function onAbort(signal: AbortSignal | undefined, cancel: () => void): () => void {
  if (signal?.aborted) queueMicrotask(cancel)
  else signal?.addEventListener('abort', cancel, { once: true })
  return () => signal?.removeEventListener('abort', cancel)
}
