import type { Constraint, ConstraintState } from './api/constraint.ts'
import type { CostProfile } from './api/cost-profile.ts'
import type { EngineApi, Prefilled, PrefillRequest } from './api/engine-api.ts'
import type { EngineOptions } from './api/engine-options.ts'
import { IncipitError } from './api/errors.ts'
import type { GenerateEvent } from './api/events.ts'
import type { Generation } from './api/generation.ts'
import type { InputOptions } from './api/input-options.ts'
import type { ModelInfo } from './api/model-info.ts'
import type { ChatMessage, ChatTemplateOptions, GenerateRequest } from './api/request.ts'
import type { EngineStats } from './api/stats.ts'
import type { Vocabulary } from './api/vocabulary.ts'
import type { Watcher, WatchOptions } from './api/watch.ts'
import { CostModel } from './core/cost/cost-model.ts'
import { throughAll } from './core/cost/costs.ts'
import { copySpeed, defaultCheckpoints } from './core/kv/checkpoint.ts'
import { canKeepRows, needsCheckpoints, runsInMicrobatches } from './core/kv/sequence-memory.ts'
import { limitsOf } from './core/schedule/machine-constants.ts'
import { commonPrefix } from './core/sequences/sequence-table.ts'
import type { InputHost, Reading } from './input/input-host.ts'
import { InputSession } from './input/input-session.ts'
import { PromptTokenizer } from './input/prompt-tokenizer.ts'
import { type PlanOptions, RequestPlanner } from './input/request-planner.ts'
import { SpawnedEngine, type SpawnOptions } from './process/spawned-engine.ts'
import { slackCells } from './runtime/load/cache-layout.ts'
import { type EngineParts, load } from './runtime/load/load.ts'
import { PinnedPrefixes } from './runtime/pinned-prefixes.ts'
import { saveProfile } from './runtime/profile.ts'
import { warmUp } from './runtime/warm-up.ts'
import type { ActiveRequest } from './serving/active-request.ts'
import { Loop, type Overdue } from './serving/loop.ts'
import { LoopDriver } from './serving/loop-driver.ts'
import { ReplyStream } from './serving/reply-stream.ts'
import { LoopWatch } from './serving/watch.ts'

// One checkpoint in so many is gone back to.
const chanceOfReuse = 0.25

/**
 * Runs one model for any number of requests at once.
 *
 * @example
 * await using engine = await Engine.load('model.gguf')
 * for await (const event of engine.generate({ prompt: 'Once upon a time', maxTokens: 32 })) {
 *   if (event.type === 'delta') process.stdout.write(event.text)
 * }
 */
export class Engine implements EngineApi {
  readonly info: ModelInfo
  readonly #parts: EngineParts
  readonly #costs = new CostModel()
  readonly #loop: Loop
  readonly #watch: LoopWatch
  readonly #driver: LoopDriver
  readonly #pinned: PinnedPrefixes
  readonly #tokenizer: PromptTokenizer
  readonly #planner: RequestPlanner
  #closing: Promise<void> | undefined
  #failure: IncipitError | undefined

  private constructor(parts: EngineParts, options: EngineOptions) {
    const { info, executor, layout, exit, vocab, acceptances, machine, outputs } = parts
    const { memory } = layout
    this.info = info
    this.#parts = parts
    const { contextLength } = info
    this.#tokenizer = new PromptTokenizer({ template: parts.template, vocab, modelName: info.name, contextLength })
    this.#watch = new LoopWatch({
      vocabulary: vocab,
      deviceOfStage: executor.deviceOfStage,
      now: () => performance.now(),
      ownerOf: (sequence) => this.#loop.ownerOf(sequence),
    })
    this.#loop = new Loop({
      ...layout,
      ...parts,
      devices: executor.deviceOfStage,
      checkpoints: {
        ...defaultCheckpoints,
        bytes: layout.savedBytes / 2,
        lastRows: Math.max(1, this.#tokenizer.suffixLength),
        messageStart: this.#tokenizer.messageStart,
        worthCopying: (bytes) => this.#worthCopying(bytes),
      },
      contextLength,
      limits: limitsOf(machine, { microbatches: runsInMicrobatches(memory), exit: exit !== undefined, outputs }),
      costs: this.#costs,
      vocabulary: vocab,
      exit: exit?.calibration,
      now: () => performance.now(),
      observer: this.#watch,
    })
    this.#driver = new LoopDriver(this.#loop, (error) => this.#fail(error))
    this.#pinned = new PinnedPrefixes({ ...parts, ...layout, table: this.#loop.table, prefixes: this.#loop.prefixes })
    this.#planner = new RequestPlanner({
      ...parts,
      tokenizer: this.#tokenizer,
      acceptances,
      constraints: options.constraints,
      reasoning: info.reasoning,
      maxPrompt: Math.min(contextLength, layout.cells - slackCells) - 1,
      tileRows: machine.tileRows,
      headGuesses: (slot, index) => executor.headGuesses(slot, index),
    })
  }

  /**
   * Loads a GGUF model.
   * @throws IncipitError `model_not_found`, `model_invalid`, `model_unsupported`, `context_memory`, `native_library`
   */
  static async load(path: string, options: EngineOptions = {}): Promise<Engine> {
    const parts = await load(path, options)
    try {
      const engine = new Engine(parts, options)
      await engine.#begin()
      return engine
    } catch (error) {
      parts.dispose()
      throw error
    }
  }

  /**
   * The same model and the same interface in a process of its own, which may die: replies go on in the next one.
   * @throws as `SpawnedEngine.start`
   */
  static spawn(path: string, options: SpawnOptions = {}): Promise<SpawnedEngine> {
    return SpawnedEngine.start(path, options)
  }

  /** Rows that take longer than a copy of so many bytes, as often as they are likely to be computed again. */
  #worthCopying(bytes: number): number {
    const rows = this.#parts.machine.tileRows
    const msPerRow = throughAll(this.#parts.executor.stages.length, this.#costs, rows) / rows
    return Math.ceil(bytes / copySpeed.fresh / msPerRow / chanceOfReuse)
  }

  /** Pages the weights in, measures what rows cost, and brings back the prefixes that earlier runs kept. */
  async #begin(): Promise<void> {
    const { executor, vocab, profile, layout } = this.#parts
    if (profile) this.#costs.load(profile.costs)
    const warm = warmUp(this.#loop, executor, Math.max(0, vocab.bos), profile !== undefined)
    // While native threads page the weights in.
    this.#tokenizer.prepare()
    await warm
    this.#loop.resetStats()
    if (canKeepRows(layout.memory)) await this.#pinned.restoreAll()
  }

  /**
   * Starts a reply.
   * @throws IncipitError `invalid_request`, `context_overflow`, `chat_template`, `overloaded`, `closed`, at once
   */
  generate(request: GenerateRequest): Generation {
    const { sink, read } = this.#reading()
    return read(this.submit(request, { sink }), request.signal)
  }

  /**
   * Opens a conversation whose next message is still being written. Close it when it is no longer needed.
   * @throws IncipitError `chat_template`, `closed`
   */
  open(options: InputOptions = {}): InputSession {
    this.#live()
    return new InputSession(this.#inputHost, options)
  }

  /**
   * Computes a prompt, as an ordinary request, and keeps its rows for requests that begin the same way as long as nobody
   * needs the place.
   * @returns tokens of the prompt, and how many of them were there already
   * @throws as `generate`; `cancelled` when the signal is aborted before it is done
   */
  async prefill(request: PrefillRequest): Promise<Prefilled> {
    // A request without a reply: the prompt's rows stay when it is done.
    const { signal, ...rest } = request
    const generation = this.generate({ ...rest, ...(signal && { signal }), maxTokens: 0 })
    for await (const event of generation) {
      if (event.type !== 'done') continue
      if (event.finishReason === 'cancelled') throw new IncipitError('cancelled', 'the prefill was cancelled')
      return event.usage
    }
    throw new IncipitError('closed', 'the engine was closed')
  }

  /**
   * Computes a prompt and keeps its rows for good: they go only when nothing else is left to go. They are saved under the
   * name and read from disk at the next start, if the model, its cut and llama.cpp are the same.
   * @throws as `prefill`; `prefix_invalid` when it cannot be kept or written
   */
  async pinPrefix(name: string, request: PrefillRequest): Promise<Prefilled> {
    const { messages, ...rest } = request
    const beginning = this.#tokenizer
      .open(messages ?? 'raw')
      .tokens(!messages && typeof rest.prompt === 'string' ? rest.prompt : '')
    // A template that rewrites content has no beginning that every conversation shares; a list of tokens is one.
    const tokens = beginning.length > 0 ? beginning : this.#tokenizer.tokens(request)
    const done = await this.prefill({ ...rest, prompt: tokens })
    const pinned = this.#loop.between(() => this.#pinned.pin(name, request.cacheSalt ?? '', tokens))
    this.#driver.wake()
    if (!(await pinned)) {
      throw new IncipitError('prefix_invalid', `no room to keep the ${tokens.length} tokens of '${name}'`)
    }
    return done
  }

  /**
   * The beginning of a text that must look so, for a loop of your own: `mask`, `advance`, `rollback`, `fork`. Requests name
   * theirs in `constraint`.
   * @throws IncipitError `invalid_request` for what cannot be compiled, and on an engine loaded without `constraints`
   */
  createConstraint(constraint: Constraint): ConstraintState {
    this.#live()
    return this.#planner.constraint(constraint)
  }

  /** The model's tokens. */
  get vocabulary(): Vocabulary {
    this.#live()
    return this.#parts.vocab
  }

  /** Text to token ids. `special`: text such as `<|im_end|>` becomes the special token. */
  tokenize(text: string, options: { special?: boolean } = {}): number[] {
    this.#live()
    return this.#parts.vocab.tokenize(text, options)
  }

  /** Token ids to text; incomplete characters become U+FFFD. `special`: control tokens are text such as `<|im_end|>`. */
  detokenize(tokens: readonly number[], options: { special?: boolean } = {}): string {
    return new TextDecoder().decode(Buffer.concat(this.tokenBytes(tokens, options)))
  }

  /**
   * UTF-8 bytes of each token: it may hold a part of a character. `special`: as in `detokenize`; otherwise control tokens
   * have none.
   * @throws IncipitError `invalid_request` for an id outside the vocabulary
   */
  tokenBytes(tokens: readonly number[], { special = false }: { special?: boolean } = {}): Uint8Array[] {
    this.#live()
    const { vocab } = this.#parts
    return tokens.map((token) => (special ? vocab.shownBytesOf(token) : vocab.bytesOf(token)))
  }

  /** The prompt text of a conversation, as the model's chat template renders it. */
  renderChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string {
    this.#live()
    return this.#tokenizer.renderChat(messages, options)
  }

  /** What ended the engine, where a defect did: every request fails with it from then on. */
  get failure(): IncipitError | undefined {
    return this.#failure
  }

  /** Counters since the model was loaded, and the load now. */
  stats(): EngineStats {
    return { ...this.#loop.stats, ...this.#loop.load }
  }

  watch(watcher: Watcher, options: WatchOptions = {}): () => void {
    this.#live()
    return this.#watch.watch(watcher, options)
  }

  /** Measured milliseconds by rows of a step, per stage. */
  costProfile(): CostProfile {
    return this.#costs.save()
  }

  /**
   * Compares what the engine believes with what the KV caches hold, per stage and slot. An empty list is a clean audit.
   * Only meaningful between steps: `idle()` waits for that.
   */
  audit(): string[] {
    const wrong: string[] = []
    const { executor, layout } = this.#parts
    const bySlot = new Map([...this.#loop.table.sequences].map((sequence) => [sequence.slot, sequence]))
    for (const [index, stage] of executor.stages.entries()) {
      for (let slot = 0; slot < layout.slots; slot++) {
        const held = stage.context.positions(slot)
        // Of a recurrent state, and of a copy with one window, the first rows are not known.
        const whole = held?.first === 0 || needsCheckpoints(layout.memory)
        const rows = held === undefined ? 0 : whole ? held.last + 1 : Number.NaN
        const believed = bySlot.get(slot)?.computed[index] ?? 0
        if (rows !== believed) wrong.push(`stage ${index} slot ${slot}: the cache holds ${rows} rows, not ${believed}`)
      }
    }
    return wrong
  }

  /** Resolves when no request is left. */
  idle(): Promise<void> {
    return this.#driver.idle()
  }

  /** Cancels what runs and frees the model. Every call resolves when that is done. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#loop.fail(new IncipitError('closed', 'the engine was closed'))
    await this.idle()
    const { executor, acceptances, firstWords, profileOf, machine, log } = this.#parts
    await executor.drain()
    if (this.#loop.stats.steps > 0) {
      const costs = this.costProfile()
      const learnt = { costs, acceptances: acceptances.toJSON(), firstWords: firstWords.toJSON(), machine }
      await saveProfile(profileOf, learnt, log)
    }
    this.#parts.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  /**
   * Starts a reply for somebody who takes its events as they come, such as the host of an engine's process.
   * @throws as `generate`
   */
  submit(request: GenerateRequest, options: PlanOptions): ActiveRequest {
    this.#live()
    const started: ActiveRequest = this.#loop.submit(this.#planner.plan(request, options, () => started))
    this.#driver.wake()
    return started
  }

  /** Ends a reply of `submit`. */
  cancel(request: ActiveRequest): void {
    this.#loop.cancel(request)
    this.#driver.wake()
  }

  /** A reply of `submit` is not computed any further, or goes on: for readers that are slow. */
  hold(request: ActiveRequest, held: boolean): void {
    this.#loop.hold(request, held)
    this.#driver.wake()
  }

  /** Most compute threads from the next step on: others on this machine want the rest. */
  limitThreads(most: number): void {
    this.#parts.executor.limitThreads(Math.max(1, most))
  }

  /** @param told when steps begin to run, and when nothing is left to be done */
  watchComputing(told: (computing: boolean) => void): void {
    this.#driver.onComputing = told
  }

  /** How long what is most overdue has run, and should have; undefined while nothing runs. */
  mostOverdue(): Overdue | undefined {
    const overdue = this.#loop.mostOverdue()
    // A GPU's driver may compile a kernel when it is first used, which takes seconds: nothing is expected of a step there.
    return overdue && this.info.offload ? { ...overdue, expectedMs: undefined } : overdue
  }

  /** What goes into the sink is read from the generation, which cancels its request when nobody reads any more. */
  #reading(): Reading {
    const stream = new ReplyStream<GenerateEvent>()
    const read = (request: ActiveRequest, signal: AbortSignal | undefined): Generation => {
      const cancel = () => this.cancel(request)
      const unsubscribe = onAbort(signal, cancel)
      return {
        accepted,
        cancel,
        async *[Symbol.asyncIterator]() {
          try {
            yield* stream.read()
          } finally {
            unsubscribe()
            cancel()
          }
        },
      }
    }
    return { sink: stream, read }
  }

  readonly #inputHost: InputHost = {
    openPrompt: (messages, frame, template) => this.#tokenizer.open(messages, frame, template),
    repliedTokens: (request, prompt) => {
      const tokens = this.#tokenizer.tokens({ prompt })
      const { sequence } = request
      if (!sequence || tokens.length > sequence.committed) return undefined
      const same = commonPrefix(sequence.tokens, tokens) === tokens.length
      return same ? tokens.length - request.prompt.length : undefined
    },
    start: (request, options) => this.submit(request, options),
    makeFinal: (request, moreTokens) => {
      this.#loop.makeFinal(request, moreTokens)
      this.#driver.wake()
    },
    cancel: (request) => this.cancel(request),
    follow: (input) => {
      this.#loop.follow(input)
      this.#driver.wake()
    },
    forget: (input) => {
      this.#loop.forget(input)
      this.#driver.wake()
    },
    reading: () => this.#reading(),
  }

  #live(): void {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw new IncipitError('closed', 'the engine was closed')
  }

  /** Something went wrong that nobody expected: whatever state there is may be half changed, so nothing goes on. */
  #fail(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    this.#failure = new IncipitError('engine_failed', `a defect ended the engine: ${message}`, { cause: error })
    this.#parts.log('error', `${this.#failure.message}\n${error instanceof Error ? error.stack : ''}`)
    this.#loop.fail(this.#failure)
  }
}

/** What an engine in this process does not take, it refuses at once. */
const accepted = Promise.resolve()

/**
 * Calls `cancel` when the signal is aborted; when it is already, as soon as the caller has started what is to be cancelled.
 * @returns stops listening
 */
function onAbort(signal: AbortSignal | undefined, cancel: () => void): () => void {
  if (signal?.aborted) queueMicrotask(cancel)
  else signal?.addEventListener('abort', cancel, { once: true })
  return () => signal?.removeEventListener('abort', cancel)
}
