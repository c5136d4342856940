import type { GenerateEvent } from '@incipit/engine/api'
import { type ServedEngine, type ServedReply, withAccepted } from '../served-engine.ts'

/** When the reply of an editor's request has said enough. */
export interface LineLimits {
  /** It ends at a line, but for its first, that has fewer blanks in front. 0: none ends it. */
  readonly indent: number
  /** It ends when it took so many milliseconds since its first text and has a whole line. 0: it may take as long as it does. */
  readonly time: number
}

/** The same engine, whose replies end at these limits, as if they had reached their most tokens. */
export function withLineLimits(engine: ServedEngine, limits: LineLimits): ServedEngine {
  if (limits.indent <= 0 && limits.time <= 0) return engine
  return {
    info: engine.info,
    generate(request) {
      const enough = new AbortController()
      const signal = request.signal ? AbortSignal.any([request.signal, enough.signal]) : enough.signal
      const reply: ServedReply = engine.generate({ ...request, signal })
      return withAccepted(
        limited(reply, limits, () => enough.abort()),
        reply,
      )
    },
  }
}

async function* limited(
  events: AsyncIterable<GenerateEvent>,
  { indent, time }: LineLimits,
  stop: () => void,
): AsyncGenerator<GenerateEvent> {
  const lines = new Lines(indent)
  let begun: number | undefined
  let stopped = false
  for await (const event of events) {
    if (event.type === 'done') {
      yield stopped ? { ...event, finishReason: 'length' } : event
    } else if (event.type === 'delta' && !stopped) {
      begun ??= performance.now()
      const end = lines.endIn(event.text)
      stopped = end !== undefined || (time > 0 && lines.hasWhole && performance.now() - begun > time)
      if (end !== 0) yield end === undefined ? event : { ...event, text: event.text.slice(0, end) }
      if (stopped) stop()
    }
  }
}

/** Reads how far lines are indented, piece by piece. */
class Lines {
  readonly #least: number
  /** Blanks so far, in front of a line. */
  #blanks: number | undefined
  hasWhole = false

  constructor(least: number) {
    this.#least = least
  }

  /** Where in this piece a line begins that is indented too little. */
  endIn(text: string): number | undefined {
    for (let i = 0; i < text.length; i++) {
      const char = text[i]
      if (this.#blanks !== undefined) {
        if (char === ' ' || char === '\t') this.#blanks++
        else if (this.#blanks < this.#least) return i
        else this.#blanks = undefined
      }
      if (char !== '\n') continue
      this.hasWhole = true
      this.#blanks = 0
    }
    return undefined
  }
}
