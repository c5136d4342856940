import { IncipitError } from '@incipit/engine/api'
import type { PlanDefaults } from '../request-plan.ts'
import type { ServedEngine } from '../served-engine.ts'

/** A model in `/v1/models`. */
export interface ModelCard {
  /** What the API calls it. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly status: 'loaded' | 'loading' | 'unloaded'
}

/** A model while somebody uses it. It is not unloaded before this is disposed. */
export interface ModelInUse extends Disposable {
  /** What the API calls it. */
  readonly name: string
  readonly engine: ServedEngine
  /** What is assumed of requests that say nothing. */
  readonly defaults: PlanDefaults
}

/** The models that a server has, by name. */
export interface ModelDirectory {
  /** Why no model can be used just now, where that is so. */
  readonly failure: IncipitError | undefined
  list(): readonly ModelCard[]
  /**
   * Loads a model where it is not loaded.
   * @param name one of its names; undefined where the client named none
   * @param signal ends the wait
   * @throws IncipitError `model_not_found`, and as `Engine.load`
   */
  use(name: string | undefined, signal?: AbortSignal): Promise<ModelInUse>
  /**
   * The engine of a model that is loaded, for work ahead of a request that may not come.
   * @param name undefined where it has not come yet: then it may be any
   */
  loaded(name: string | undefined): ServedEngine | undefined
}

/** @param names which there are */
export function unknownModel(name: string, names: readonly string[]): IncipitError {
  const known = names.map((known) => JSON.stringify(known)).join(', ')
  const message = `the model ${JSON.stringify(name)} is not served here, only ${known}`
  return new IncipitError('model_not_found', message, { param: 'model' })
}
