import { resolve } from 'node:path'
import type { Embedded, EmbedderApi, EmbedderInfo, EmbedderOptions, EmbedInput } from '../api/embedder-api.ts'
import { IncipitError } from '../api/errors.ts'
import { type Check, count, list, object, string } from './checks.ts'
import { type FromChild, protocolVersion } from './messages.ts'
import { PendingCalls } from './pending-calls.ts'
import type { SpawnOptions } from './spawned-engine.ts'
import { Supervisor } from './supervisor.ts'

export interface SpawnEmbedderOptions
  extends EmbedderOptions,
    Pick<SpawnOptions, 'hangMs' | 'pauseMs' | 'onComputing'> {}

/**
 * A model that makes vectors of texts, in a process of its own. When that dies, another one is started and makes what was
 * not made yet. Close it, or the process stays as long as this one.
 */
export class SpawnedEmbedder implements EmbedderApi {
  readonly info: EmbedderInfo
  readonly #state: State

  private constructor(info: EmbedderInfo, state: State) {
    this.info = info
    this.#state = state
  }

  /** @throws IncipitError as `Embedder.load`; `engine_died` when the child dies while it loads the model */
  static async start(path: string, options: SpawnEmbedderOptions = {}): Promise<SpawnedEmbedder> {
    const state = new State(path, options)
    return new SpawnedEmbedder(await state.supervisor.start(), state)
  }

  get failure(): IncipitError | undefined {
    return this.#state.supervisor.failure
  }

  /** Process id of the child, while there is one. */
  get pid(): number | undefined {
    return this.#state.supervisor.pid
  }

  embed(inputs: readonly EmbedInput[], { signal }: { signal?: AbortSignal } = {}): Promise<Embedded> {
    return this.#state.embed(inputs, signal)
  }

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

const vector: Check<Float32Array<ArrayBuffer>> = (value, at) => {
  const bytes = Buffer.from(string(value, at), 'base64')
  // The buffer of a pool begins anywhere.
  return new Float32Array(new Uint8Array(bytes).buffer)
}

const embedded: Check<Embedded> = (value, at) => {
  const { vectors, tokens } = object({ vectors: list(string), tokens: count })(value, at)
  return { vectors: vectors.map((one) => vector(one, `${at}.vectors`)), tokens }
}

/** What is in flight, and the process that it is in flight in. */
class State {
  readonly supervisor: Supervisor<EmbedderInfo>
  readonly #calls: PendingCalls
  readonly #onComputing: (computing: boolean) => void
  #mostThreads: number | undefined
  #lastId = 0

  constructor(path: string, options: SpawnEmbedderOptions) {
    const { log = () => {}, hangMs = 5000, pauseMs = 5000, onComputing = () => {}, ...others } = options
    this.#onComputing = onComputing
    const child = { ...others, hangMs }
    this.supervisor = new Supervisor(
      { load: { type: 'loadEmbedder', version: protocolVersion, path: resolve(path), options: child }, pauseMs, log },
      {
        message: (message) => this.#take(message),
        died: (error) => {
          this.#onComputing(false)
          return this.#calls.engineDied(error)
        },
        startedAgain: () => {
          if (this.#mostThreads !== undefined) this.limitThreads(this.#mostThreads)
          this.#calls.askAgain()
        },
      },
    )
    this.#calls = new PendingCalls(
      (id, call) => this.supervisor.send({ type: 'call', id, call }),
      (id) => this.supervisor.send({ type: 'cancel', id }),
    )
  }

  async embed(inputs: readonly EmbedInput[], signal: AbortSignal | undefined): Promise<Embedded> {
    if (this.supervisor.failure) throw this.supervisor.failure
    return this.#calls.ask(++this.#lastId, { method: 'embed', inputs }, embedded, signal)
  }

  limitThreads(most: number): void {
    this.#mostThreads = most
    this.supervisor.send({ type: 'threads', most })
  }

  async close(): Promise<void> {
    this.#calls.fail(new IncipitError('closed', 'the embedder was closed'))
    await this.supervisor.close()
  }

  #take(message: FromChild): void {
    if (message.type === 'computing') this.#onComputing(message.computing)
    else if (message.type === 'result' || message.type === 'failed') this.#calls.answered(message)
  }
}
