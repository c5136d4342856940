import type { PlanDefaults } from '../request-plan.ts'
import type { ServedEngine } from '../served-engine.ts'
import { type ModelDirectory, unknownModel } from './model-directory.ts'

/**
 * The directory of a server with one engine, which is there from the beginning. It answers to every name: clients come
 * with the name of some other model built in.
 * @param strict it answers to its own name only, and to none
 */
export function singleModel(
  engine: ServedEngine,
  { name, defaults, strict }: { name: string; defaults: PlanDefaults; strict: boolean },
): ModelDirectory {
  const answersTo = (asked: string | undefined) => !strict || asked === undefined || asked === name
  return {
    get failure() {
      return engine.failure
    },
    list: () => [{ name, aliases: [], status: 'loaded' }],
    async use(asked) {
      if (asked !== undefined && !answersTo(asked)) throw unknownModel(asked, [name])
      return { name, engine, defaults, [Symbol.dispose]: () => {} }
    },
    loaded: (asked) => (answersTo(asked) ? engine : undefined),
  }
}
