import type { DoneEvent, GenerateEvent } from '../api/events.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import type { ReplyRecord } from './outcome.ts'
import type { SimulatedRequest } from './workload.ts'

/** Reads a reply as a client does, and notes when something came. */
export class ReplyRecorder implements ReplySink {
  readonly #request: SimulatedRequest
  readonly #now: () => number
  readonly #done: (record: ReplyRecord) => void
  /** When a guess was first shown, before anything was certain. */
  #provisional: number | undefined
  #tokens = 0
  /** When tokens last came, and the gaps between those moments. */
  #last = 0
  readonly #gaps: number[] = []

  /** @param now ms on the virtual clock */
  constructor(request: SimulatedRequest, now: () => number, done: (record: ReplyRecord) => void) {
    this.#request = request
    this.#now = now
    this.#done = done
  }

  push(event: GenerateEvent): void {
    if (event.type === 'done') this.#finish(event)
    else if (event.type === 'delta') this.#grow(event.tokens)
    else if (this.#tokens === 0) this.#provisional ??= this.#now()
  }

  close(): void {}

  #grow(tokens: number): void {
    const now = this.#now()
    if (this.#tokens > 0) this.#gaps.push(now - this.#last)
    this.#tokens += tokens
    this.#last = now
  }

  #finish({ usage, timings }: DoneEvent): void {
    const { kind, tier, arrival, prompt } = this.#request
    // The token that ends a reply has no text.
    const silent = usage.completionTokens - this.#tokens
    if (silent > 0) this.#grow(silent)
    // All are sums of the same kind, so that they round alike and stay in order.
    const passed = this.#now() - arrival
    this.#done({
      kind,
      tier,
      arrival,
      promptTokens: prompt.length,
      cachedTokens: usage.cachedTokens,
      replyTokens: usage.completionTokens,
      provisional: this.#provisional,
      stable: arrival + (timings.stableMs ?? passed),
      committed: arrival + (timings.committedMs ?? passed),
      end: arrival + passed,
      gaps: this.#gaps,
    })
  }
}
