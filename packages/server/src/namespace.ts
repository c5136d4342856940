import { createHash } from 'node:crypto'
import { type ModelDirectory, withEngine } from './models/model-directory.ts'
import type { ServedEngine } from './served-engine.ts'
import { withMethods } from './with-methods.ts'

/**
 * The namespace (`cacheSalt`) in which a server with this key keeps rows. Who has not the key must not learn from an
 * answer's speed what those who have it asked.
 */
export function cacheSaltOf(apiKey: string | undefined): string {
  return apiKey === undefined ? '' : createHash('sha256').update(apiKey).digest('base64url')
}

/**
 * The same engine, whose rows are shared only between requests with this salt. A salt of a request's own divides that
 * namespace further and never leads out of it.
 *
 * @param salt without a slash
 */
function salted(engine: ServedEngine, salt: string): ServedEngine {
  const open = engine.open?.bind(engine)
  const prefill = engine.prefill?.bind(engine)
  const watch = engine.watch?.bind(engine)
  const within = <R extends { cacheSalt?: string }>(request: R): R => {
    const { cacheSalt } = request
    return { ...request, cacheSalt: cacheSalt === undefined ? salt : `${salt}/${cacheSalt}` }
  }
  // What takes a salt, or tells texts of one.
  return withMethods<ServedEngine>(engine, {
    generate: (request) => engine.generate(within(request)),
    ...(open && { open: (options) => open(within(options)) }),
    ...(prefill && { prefill: (request) => prefill(within(request)) }),
    ...(watch && {
      watch: (watcher, { namespace, ...options } = {}) =>
        watch(watcher, { ...options, namespace: namespace === undefined ? salt : `${salt}/${namespace}` }),
    }),
  })
}

/** The same models, each with its engine {@link salted}. */
export function saltedModels(models: ModelDirectory, salt: string): ModelDirectory {
  // Of one engine always the same one.
  const known = new WeakMap<ServedEngine, ServedEngine>()
  const within = (engine: ServedEngine): ServedEngine => {
    const same = known.get(engine) ?? salted(engine, salt)
    known.set(engine, same)
    return same
  }
  return {
    get failure() {
      return models.failure
    },
    list: () => models.list(),
    async use(name, signal) {
      const model = await models.use(name, signal)
      return withEngine(model, within(model.engine))
    },
    useEmbedder: (name, signal) => models.useEmbedder(name, signal),
    loaded(name) {
      const engine = models.loaded(name)
      return engine && within(engine)
    },
    follow: (name, told) => models.follow(name, (engine) => told(engine && within(engine))),
  }
}
