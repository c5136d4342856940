import type { PlanDefaults } from '../request-plan.ts'
import type { ServedEmbedder } from '../served-embedder.ts'
import type { ServedEngine } from '../served-engine.ts'
import { embedsNot, type ModelDirectory, unknownModel } from './model-directory.ts'

interface SingleModelOptions {
  name: string
  defaults: PlanDefaults
  /** It answers to its own name only, and to none. */
  strict: boolean
  embedder: ServedEmbedder | undefined
}

/**
 * The directory of a server with one engine, which is there from the beginning. It answers to every name: clients come
 * with the name of some other model built in.
 */
export function singleModel(
  engine: ServedEngine,
  { name, defaults, strict, embedder }: SingleModelOptions,
): ModelDirectory {
  const answersTo = (asked: string | undefined) => !strict || asked === undefined || asked === name
  const requireName = (asked: string | undefined) => {
    if (asked !== undefined && !answersTo(asked)) throw unknownModel(asked, [name])
  }
  return {
    get failure() {
      return engine.failure
    },
    list: () => [{ name, aliases: [], status: 'loaded' }],
    async use(asked) {
      requireName(asked)
      return { name, engine, defaults, stay: () => ({ use: () => () => {} }), [Symbol.dispose]: () => {} }
    },
    async useEmbedder(asked) {
      requireName(asked)
      if (!embedder) throw embedsNot(name)
      return { name, embedder, [Symbol.dispose]: () => {} }
    },
    loaded: (asked) => (answersTo(asked) ? engine : undefined),
    follow(asked, told) {
      requireName(asked)
      told(engine)
      return () => {}
    },
  }
}
