import { resolve } from 'node:path'
import type { CostProfile } from '../api/cost-profile.ts'
import type { EngineApi, Prefilled, PrefillRequest } from '../api/engine-api.ts'
import type { EngineOptions } from '../api/engine-options.ts'
import { IncipitError } from '../api/errors.ts'
import type { Generation } from '../api/generation.ts'
import type { InputOptions } from '../api/input-options.ts'
import type { ModelInfo } from '../api/model-info.ts'
import type { ChatMessage, ChatTemplateOptions, GenerateRequest } from '../api/request.ts'
import type { EngineStats } from '../api/stats.ts'
import { normalise } from '../api/validation.ts'
import type { Watcher, WatchOptions } from '../api/watch.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import { type Check, count, list, object, record, string } from './checks.ts'
import { type Call, type FromChild, type PlainRequest, protocolVersion, type ToChild } from './messages.ts'
import { PendingCalls } from './pending-calls.ts'
import { thrown } from './protocol.ts'
import { SpawnedInput } from './spawned-input.ts'
import { SupervisedRequest } from './supervised-request.ts'
import { Supervisor } from './supervisor.ts'

export interface SpawnOptions extends Omit<EngineOptions, 'constraints'> {
  /** A module, by its URL, whose default export is a `ConstraintCompiler`: a function cannot cross a process. */
  readonly constraints?: string | URL
  /**
   * A step that takes longer than this, in milliseconds, and 20 times what is expected of it, hangs: the engine is killed
   * and started again. Default 5000.
   */
  readonly hangMs?: number
  /**
   * Milliseconds before another try after something was in flight at three deaths within a minute, or when the model could
   * not be loaded again. Default 5000.
   */
  readonly pauseMs?: number
  /** Told when the engine begins to compute, and when it has not for a moment. */
  readonly onComputing?: (computing: boolean) => void
}

/**
 * A model in a process of its own. When that process dies, another one is started and every reply goes on where its
 * committed text ends: native code may crash, run out of memory or hang, and nobody's reply is lost. Close it, or the
 * process stays as long as this one.
 *
 * @example
 * await using engine = await SpawnedEngine.start('model.gguf')
 * for await (const event of engine.generate({ prompt: 'Once upon a time' })) console.log(event)
 */
export class SpawnedEngine implements EngineApi {
  readonly info: ModelInfo
  readonly #state: State

  private constructor(info: ModelInfo, state: State) {
    this.info = info
    this.#state = state
  }

  /**
   * Loads a GGUF model in a child process.
   * @throws IncipitError as `Engine.load`; `invalid_request` for a compiler of constraints that is a function;
   *   `engine_died` when the child dies while it loads the model
   */
  static async start(path: string, options: SpawnOptions = {}): Promise<SpawnedEngine> {
    const state = new State(path, options)
    return new SpawnedEngine(await state.supervisor.start(), state)
  }

  get failure(): IncipitError | undefined {
    return this.#state.supervisor.failure
  }

  /** Process id of the child, while there is one. */
  get pid(): number | undefined {
    return this.#state.supervisor.pid
  }

  /**
   * Starts a reply.
   * @throws IncipitError `invalid_request` for numbers and names out of range, `closed`, `engine_died`, at once; what only
   *   the model can tell rejects `accepted`
   */
  generate(request: GenerateRequest): Generation {
    return this.#state.request(request)
  }

  /** @throws IncipitError `chat_template`, `closed`, `engine_died` */
  open(options: InputOptions = {}): SpawnedInput {
    return this.#state.open(this.info, options)
  }

  /** @throws as `Engine.prefill` */
  async prefill(request: PrefillRequest): Promise<Prefilled> {
    const { signal, ...plain } = request
    return this.#state.call({ method: 'prefill', request: plain }, prefilled, signal)
  }

  /** @throws as `Engine.pinPrefix` */
  async pinPrefix(name: string, request: PrefillRequest): Promise<Prefilled> {
    const { signal, ...plain } = request
    const done = await this.#state.call({ method: 'pinPrefix', name, request: plain }, prefilled, signal)
    this.#state.pins.set(name, plain)
    return done
  }

  async tokenize(text: string, { special = false }: { special?: boolean } = {}): Promise<number[]> {
    return this.#state.call({ method: 'tokenize', text, special }, list(count))
  }

  async detokenize(tokens: readonly number[], { special = false }: { special?: boolean } = {}): Promise<string> {
    return this.#state.call({ method: 'detokenize', tokens, special }, string)
  }

  async tokenBytes(tokens: readonly number[], { special = false }: { special?: boolean } = {}): Promise<Uint8Array[]> {
    const bytes = await this.#state.call({ method: 'tokenBytes', tokens, special }, list(list(count)))
    return bytes.map((one) => Uint8Array.from(one))
  }

  async renderChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): Promise<string> {
    return this.#state.call({ method: 'renderChat', messages, ...(options && { options }) }, string)
  }

  /** Counters since the child was started. */
  async stats(): Promise<EngineStats> {
    return this.#state.call({ method: 'stats' }, stats)
  }

  /** Goes on in the next child when this one dies. */
  watch(watcher: Watcher, options: WatchOptions = {}): () => void {
    return this.#state.watch(watcher, options)
  }

  async costProfile(): Promise<CostProfile> {
    return this.#state.call({ method: 'costProfile' }, costs)
  }

  async audit(): Promise<string[]> {
    return this.#state.call({ method: 'audit' }, list(string))
  }

  async idle(): Promise<void> {
    await this.#state.call({ method: 'idle' }, anything)
  }

  /** Most compute threads from now on: others on this machine want the rest. */
  limitThreads(most: number): void {
    this.#state.limitThreads(most)
  }

  close(): Promise<void> {
    return this.#state.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Paths that mean the same for every child, wherever this process has gone meanwhile. */
function pathsOf({
  draft,
  heads,
  cacheDir,
  loras,
}: SpawnOptions): Pick<SpawnOptions, 'draft' | 'heads' | 'cacheDir' | 'loras'> {
  return {
    ...(loras && { loras: loras.map((lora) => ({ ...lora, path: resolve(lora.path) })) }),
    ...(draft !== undefined && { draft: resolve(draft) }),
    ...(heads !== undefined && { heads: resolve(heads) }),
    ...(cacheDir !== undefined && { cacheDir: resolve(cacheDir) }),
  }
}

const prefilled: Check<Prefilled> = object({ promptTokens: count, cachedTokens: count })
const stats: Check<EngineStats> = (value, at) => record(value, at) as unknown as EngineStats
const costs: Check<CostProfile> = (value, at) => list(list(record))(value, at) as unknown as CostProfile
const anything: Check<unknown> = (value) => value

/** Everything that is in flight, and the process that it is in flight in. */
class State {
  readonly supervisor: Supervisor<ModelInfo>
  readonly pins = new Map<string, PlainRequest>()
  readonly #requests = new Map<number, SupervisedRequest>()
  readonly #inputs = new Map<number, SpawnedInput>()
  readonly #calls: PendingCalls
  readonly #onComputing: (computing: boolean) => void
  #mostThreads: number | undefined
  readonly #watches = new Map<number, { readonly watcher: Watcher; readonly options: WatchOptions }>()
  #lastId = 0

  constructor(path: string, options: SpawnOptions) {
    const { log = () => {}, constraints, hangMs = 5000, pauseMs = 5000, onComputing = () => {}, ...others } = options
    if (typeof constraints === 'function') {
      const message = 'constraints: a function cannot cross a process; name the module whose default export it is'
      throw new IncipitError('invalid_request', message, { param: 'constraints' })
    }
    this.#onComputing = onComputing
    const paths = pathsOf(options)
    const child = { ...others, ...paths, hangMs, ...(constraints && { constraints: String(constraints) }) }
    this.supervisor = new Supervisor(
      { load: { type: 'load', version: protocolVersion, path: resolve(path), options: child }, pauseMs, log },
      {
        message: (message) => this.#take(message),
        died: (error) => this.#engineDied(error),
        startedAgain: () => this.#submitAll(),
      },
    )
    this.#calls = new PendingCalls(
      (id, call) => this.supervisor.send({ type: 'call', id, call }),
      (id) => this.supervisor.send({ type: 'cancel', id }),
    )
  }

  request(
    request: GenerateRequest,
    first?: (id: number) => ToChild,
    through?: (sink: ReplySink) => ReplySink,
  ): SupervisedRequest {
    this.#live()
    normalise(request)
    const { signal, ...plain } = request
    const id = ++this.#lastId
    const { supervisor } = this
    const host = {
      get ready() {
        return supervisor.ready
      },
      send: (message: ToChild) => supervisor.send(message),
      forget: (id: number) => this.#requests.delete(id),
    }
    const options = { id, request: plain, signal, ...(first && { first: first(id) }), ...(through && { through }) }
    const supervised = new SupervisedRequest(options, host)
    this.#requests.set(id, supervised)
    return supervised
  }

  open(info: ModelInfo, options: InputOptions): SpawnedInput {
    this.#live()
    const id = ++this.#lastId
    const host = {
      info,
      send: (message: ToChild) => this.supervisor.send(message),
      request: this.request.bind(this),
      forgetInput: (id: number) => this.#inputs.delete(id),
    }
    const input = new SpawnedInput(id, host, options)
    this.#inputs.set(id, input)
    return input
  }

  async call<T>(call: Call, check: Check<T>, signal?: AbortSignal): Promise<T> {
    this.#live()
    return this.#calls.ask(++this.#lastId, call, check, signal)
  }

  limitThreads(most: number): void {
    this.#mostThreads = most
    this.supervisor.send({ type: 'threads', most })
  }

  watch(watcher: Watcher, options: WatchOptions): () => void {
    this.#live()
    const watch = ++this.#lastId
    this.#watches.set(watch, { watcher, options })
    this.supervisor.send({ type: 'watch', watch, options })
    return () => {
      if (this.#watches.delete(watch)) this.supervisor.send({ type: 'unwatch', watch })
    }
  }

  async close(): Promise<void> {
    this.#failAll(new IncipitError('closed', 'the engine was closed'))
    await this.supervisor.close()
  }

  #live(): void {
    if (this.supervisor.failure) throw this.supervisor.failure
  }

  #take(message: FromChild): void {
    switch (message.type) {
      case 'event':
        this.#requests.get(message.id)?.take(message.event, message.tokens)
        return
      case 'accepted':
        this.#requests.get(message.id)?.accept()
        return
      case 'failed':
        if (!this.#calls.answered(message)) this.#requests.get(message.id)?.fail(thrown(message.error))
        return
      case 'result':
        this.#calls.answered(message)
        return
      case 'watched':
        this.#watches.get(message.watch)?.watcher(message.records)
        return
      case 'progress':
      case 'preview':
      case 'inputFailed':
        this.#inputs.get(message.input)?.take(message)
        return
      case 'computing':
        this.#onComputing(message.computing)
        return
    }
  }

  /** Whether anything ends, because its engines die too often. */
  #engineDied(error: IncipitError): boolean {
    this.#onComputing(false)
    const inFlight = [...this.#requests.values(), ...this.#inputs.values(), this.#calls]
    return inFlight.map((each) => each.engineDied(error)).includes(true)
  }

  /** Another engine is to go on where the last one was. */
  #submitAll(): void {
    if (this.#mostThreads !== undefined) this.supervisor.send({ type: 'threads', most: this.#mostThreads })
    for (const [watch, { watcher, options }] of this.#watches) {
      watcher([{ type: 'restart' }])
      this.supervisor.send({ type: 'watch', watch, options })
    }
    for (const input of this.#inputs.values()) input.openAgain()
    for (const request of this.#requests.values()) request.submitAgain()
    this.#calls.askAgain()
    // They were saved, if they could be: then this finds them. Nobody waits for it.
    for (const [name, request] of [...this.pins]) {
      this.pins.delete(name)
      this.call({ method: 'pinPrefix', name, request }, anything).then(
        () => this.pins.set(name, request),
        () => {},
      )
    }
  }

  #failAll(error: IncipitError): void {
    for (const request of [...this.#requests.values()]) request.fail(error)
    this.#calls.fail(error)
  }
}
