import type { GenerateEvent } from '@incipit/engine/api'
import { progressOf, provisionalOf, timingsOf, usageOf } from '@incipit/server/wire'

/**
 * An event as the wire protocol spells it. `finish_reason` keeps the engine's finer words (`context`, `cancelled`).
 *
 * @param lossy the policy may have changed the text: the closing event says so
 */
export function jsonEvent(event: GenerateEvent, lossy: boolean): object {
  switch (event.type) {
    case 'prompt':
      return { type: 'prompt', from: event.from, tokens: event.tokens }
    case 'provisional':
      return { type: 'provisional', ...provisionalOf(event) }
    case 'progress':
      return { type: 'progress', ...progressOf(event) }
    case 'delta':
      return { type: 'delta', text: event.text, tokens: event.tokens }
    case 'done':
      return {
        type: 'done',
        finish_reason: event.finishReason,
        ...(event.stopString === undefined ? {} : { stop_string: event.stopString }),
        usage: usageOf([event], 1),
        timings: timingsOf([event]),
        ...(lossy ? { lossy } : {}),
      }
  }
}
