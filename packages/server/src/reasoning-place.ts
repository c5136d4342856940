import { type ChatTemplateOptions, reasoningAt } from '@incipit/engine/api'
import type { ServedEngine } from './served-engine.ts'

type Place = 'open' | 'closed' | 'optional'

const known = new WeakMap<ServedEngine['info'], Map<string, Promise<Place>>>()
/** Variables come from clients: no more sets of them are remembered. */
const maxKnown = 100
/** What a prompt ends with is within so many characters. */
const tail = 200

/**
 * Where a prompt leaves a model that thinks: in its reasoning, behind it, or where it may begin. That depends on the
 * template and its variables, not on what was said. Undefined for models that do not think in tags.
 */
export function reasoningPlace(engine: ServedEngine, options: ChatTemplateOptions): Promise<Place> | undefined {
  const { info, renderChat } = engine
  const { reasoning } = info
  if (reasoning === undefined || renderChat === undefined) return undefined
  // The answer goes on already.
  if (options.continueFinal) return Promise.resolve('closed')
  const places = known.get(info) ?? new Map<string, Promise<Place>>()
  known.set(info, places)
  const { tools: _, ...rest } = options
  const key = JSON.stringify(rest)
  let place = places.get(key)
  if (place === undefined) {
    place = Promise.resolve(renderChat.call(engine, [{ role: 'user', content: 'Hello.' }], rest))
      .then((text) => reasoningAt(text.slice(-tail), reasoning))
      // The request itself will say what is wrong.
      .catch(() => 'optional' as const)
    if (places.size < maxKnown) places.set(key, place)
  }
  return place
}
