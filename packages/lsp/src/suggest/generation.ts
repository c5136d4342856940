import type { SentPrompt } from '../trace.ts'
import type { Said } from './gate.ts'
import type { Place } from './type-through.ts'

/**
 * What a model says at one place. It goes on while it is of use, may be read by several requests, and is kept when it is
 * over.
 */
export class Generation {
  readonly place: Place
  readonly begun: number
  /** For whoever looks into what was done. */
  readonly startedAt = performance.now()
  sent: SentPrompt | undefined
  /** Something of it was shown: what is typed through stays to its last character. */
  wasShown = false
  readonly #pieces: Said[] = []
  readonly #abort = new AbortController()
  #text = ''
  #state: 'running' | 'ended' | 'stopped' | 'failed' = 'running'
  #error: unknown
  #wake: (() => void)[] = []
  #firstMs: number | undefined
  #readers = 0

  /**
   * @param place where what is said begins
   * @param begun how much of it stood there already (UTF-16 units)
   */
  constructor(place: Place, begun: number) {
    this.place = place
    this.begun = begun
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get text(): string {
    return this.#text
  }

  get tokens(): number {
    return this.#pieces.length
  }

  /** Until the first text, in milliseconds. */
  get firstMs(): number | undefined {
    return this.#firstMs
  }

  /** `ended`: the model had no more to say, or was at its limit. `stopped`: nobody wanted more. */
  get state(): 'running' | 'ended' | 'stopped' | 'failed' {
    return this.#state
  }

  get error(): unknown {
    return this.#error
  }

  /** What was said behind this offset. */
  from(offset: number): Said[] {
    const rest: Said[] = []
    let at = 0
    for (const piece of this.#pieces) {
      const end = at + piece.text.length
      if (end > offset) {
        const typed = Math.max(0, offset - at)
        rest.push(typed === 0 ? piece : restOf(piece, typed))
      }
      at = end
    }
    return rest
  }

  /**
   * Reads what the model says, until the signal or the end.
   * @param onPiece after each piece; may stop it
   */
  async read(pieces: AsyncIterable<Said>, onPiece: () => void): Promise<void> {
    try {
      for await (const piece of pieces) {
        if (this.#state !== 'running') return
        this.#firstMs ??= performance.now() - this.startedAt
        this.#pieces.push(piece)
        this.#text += piece.text
        onPiece()
        this.#notify()
      }
      if (this.#state === 'running') this.#state = 'ended'
    } catch (error) {
      if (this.#state === 'running') {
        this.#state = 'failed'
        this.#error = error
      }
    } finally {
      this.#notify()
    }
  }

  /** Nobody wants more of it: what it takes to compute it is free within a step. */
  stop(): void {
    if (this.#state !== 'running') return
    this.#state = 'stopped'
    this.#abort.abort()
    this.#notify()
  }

  /** Whether somebody waits for more. */
  get isAwaited(): boolean {
    return this.#readers > 0
  }

  /** Resolves when there is more, or nothing more to come; after so many milliseconds, where they are more than none, or with the signal. */
  async more(signal: AbortSignal, ms: number): Promise<void> {
    if (this.#state !== 'running' || signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = ms > 0 ? setTimeout(resolve, ms) : undefined
    const wake = () => resolve()
    signal.addEventListener('abort', wake, { once: true })
    this.#wake.push(wake)
    this.#readers++
    await promise
    this.#readers--
    clearTimeout(timer)
    signal.removeEventListener('abort', wake)
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

/** The rest of a token that is typed in part: the more is typed, the less is it a question. */
function restOf({ text, probability }: Said, typed: number): Said {
  const left = (text.length - typed) / text.length
  return { text: text.slice(typed), probability: probability === undefined ? undefined : probability ** left }
}
