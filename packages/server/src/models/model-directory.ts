import { IncipitError } from '@incipit/engine/api'
import { ServerError } from '../errors.ts'
import type { PlanDefaults } from '../request-plan.ts'
import type { ServedEmbedder } from '../served-embedder.ts'
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
  /**
   * Somebody stays connected, and uses it now and then: from now on it may be unloaded in between. Disposing of this ends
   * that, too.
   * @param leave it is to be unloaded, and nobody else uses it through this: called once
   */
  stay(leave: () => void): ModelGuest
}

/** Somebody who is connected to a model, and uses it now and then. */
export interface ModelGuest {
  /** Uses the model until the returned function is called. */
  use(): () => void
}

/** The same of a model that makes vectors of texts. */
export interface EmbedderInUse extends Disposable {
  readonly name: string
  readonly embedder: ServedEmbedder
}

/** The models that a server has, by name. */
export interface ModelDirectory {
  /** Why no model can be used just now, where that is so. */
  readonly failure: IncipitError | undefined
  list(): readonly ModelCard[]
  /**
   * Loads a model to say something where it is not loaded.
   * @param name one of its names; undefined where the client named none
   * @param signal ends the wait
   * @throws IncipitError `model_not_found`, and as `Engine.load`; ServerError `unsupported` for one that makes vectors only
   */
  use(name: string | undefined, signal?: AbortSignal): Promise<ModelInUse>
  /**
   * Loads a model to make vectors of texts where it is not loaded.
   * @throws as `use`; ServerError `unsupported` where none can be made
   */
  useEmbedder(name: string | undefined, signal?: AbortSignal): Promise<EmbedderInUse>
  /**
   * The engine of a model that is loaded, for work ahead of a request that may not come.
   * @param name undefined where it has not come yet: then it may be any
   */
  loaded(name: string | undefined): ServedEngine | undefined
  /**
   * Tells which engine a model has, now and whenever it has another one or none. Whoever follows does not use it: it is
   * neither loaded nor kept for them.
   * @param name as for `use`
   * @returns stops it
   * @throws as `use` for a name, and what `told` throws at once
   */
  follow(name: string | undefined, told: (engine: ServedEngine | undefined) => void): () => void
}

/** The same model in use, seen through another engine. */
export function withEngine(model: ModelInUse, engine: ServedEngine): ModelInUse {
  const { name, defaults } = model
  const stay = (leave: () => void) => model.stay(leave)
  return { name, engine, defaults, stay, [Symbol.dispose]: () => model[Symbol.dispose]() }
}

/** A model that makes vectors of texts and no text. */
export function onlyEmbeds(name: string): ServerError {
  const message = `the model ${JSON.stringify(name)} makes embeddings only: ask it at /v1/embeddings`
  return new ServerError('unsupported', message, { param: 'model' })
}

/** A model of which this server makes no vectors. */
export function embedsNot(name: string): ServerError {
  const message = `this server makes no embeddings with the model ${JSON.stringify(name)}`
  return new ServerError('unsupported', message, { param: 'model' })
}

/** @param names which there are */
export function unknownModel(name: string, names: readonly string[]): IncipitError {
  const known = names.map((known) => JSON.stringify(known)).join(', ')
  const message = `the model ${JSON.stringify(name)} is not served here, only ${known}`
  return new IncipitError('model_not_found', message, { param: 'model' })
}
