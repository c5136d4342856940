import { IncipitError } from '../../api/errors.ts'
import { Embedder } from '../../embedding/embedder.ts'
import { type Call, type Load, protocolVersion, type ToChild } from '../messages.ts'
import { plain } from '../protocol.ts'
import type { Outgoing } from './outgoing.ts'
import { steady } from './steady.ts'
import { requireVersion } from './version.ts'
import { watchSteps } from './watchdog.ts'

/** Serves one embedder to the process that asked for it. */
export class EmbedderHost {
  readonly #embedder: Embedder
  readonly #out: Outgoing
  readonly #calls = new Map<number, AbortController>()

  private constructor(embedder: Embedder, out: Outgoing) {
    this.#embedder = embedder
    this.#out = out
  }

  /** @throws as `Embedder.load` */
  static async load(message: Extract<Load, { type: 'loadEmbedder' }>, out: Outgoing): Promise<EmbedderHost> {
    requireVersion(message.version)
    const { hangMs, ...options } = message.options
    const embedder = await Embedder.load(message.path, {
      ...options,
      log: (level, line) => out.say({ type: 'log', level, message: line }),
    })
    embedder.watchComputing(
      steady((computing) => {
        out.say({ type: 'computing', computing })
        out.flush()
      }),
    )
    watchSteps(embedder, hangMs, (ms, mostMs) => out.say({ type: 'late', ms, mostMs }))
    out.say({ type: 'ready', version: protocolVersion, info: embedder.info })
    return new EmbedderHost(embedder, out)
  }

  /** Does what a message asks for. What goes wrong is said, and never thrown. */
  take(message: Exclude<ToChild, Load>): void {
    if (message.type === 'call') void this.#answer(message.id, message.call)
    else if (message.type === 'cancel') this.#calls.get(message.id)?.abort()
    else if (message.type === 'threads') this.#embedder.limitThreads(message.most)
    else if (message.type === 'ping') this.#out.say({ type: 'pong' })
    else if (message.type === 'close') void this.#close()
  }

  async #answer(id: number, call: Call): Promise<void> {
    const controller = new AbortController()
    this.#calls.set(id, controller)
    try {
      if (call.method !== 'embed') throw new IncipitError('invalid_request', `an embedder does not ${call.method}`)
      const { vectors, tokens } = await this.#embedder.embed(call.inputs, { signal: controller.signal })
      const value = { vectors: vectors.map(({ buffer }) => Buffer.from(buffer).toString('base64')), tokens }
      this.#out.say({ type: 'result', id, value })
    } catch (error) {
      this.#out.say({ type: 'failed', id, error: plain(error) })
    } finally {
      this.#calls.delete(id)
    }
  }

  async #close(): Promise<void> {
    await this.#embedder.close()
    this.#out.say({ type: 'closed' })
    this.#out.flush()
    process.exit(0)
  }
}
