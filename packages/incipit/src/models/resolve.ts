import { stat } from 'node:fs/promises'
import { resolve as absolute } from 'node:path'
import { IncipitError } from '@incipit/engine/api'
import { download } from './download.ts'
import { isHubReference } from './reference.ts'
import { named as namedShortly, shortNames } from './short-names.ts'
import { embeddedModels, listModels, type ModelStores, modelStores, named, type StoredModel } from './store.ts'

export interface ResolvedModel {
  path: string
  /** Who chose it, for messages: `--model`, `INCIPIT_MODEL`, `the model store`, `the embedded model`. */
  chosenBy: string
}

export interface ResolveOptions {
  env?: Readonly<Record<string, string | undefined>>
  /** Root of the checkout, for the development store and the embedded model. */
  root?: string
  /** The option that gave the reference, for messages. Default `--model`. */
  option?: string
  /** Bytes of memory that may be used. Default: what the system has available. */
  memory?: number
}

const howToGoOn =
  'download one with `incipit pull smollm2` (`incipit pull` lists what there is), ' +
  'put a GGUF file into the store, or pass --model PATH'

/**
 * Finds the model file to run. In this order: `reference` (`--model`), INCIPIT_MODEL, the model store, the embedded
 * model. A reference is a path, the name of a model in the store, a short name such as `qwen3:4b`, or
 * `hf:owner/repo/file.gguf`; these two are downloaded into the store unless they are there.
 *
 * From a store of several models, the choice is: among those that fit into half of the available memory, the largest
 * with a chat template; if none has one, the largest; if none fits, the smallest. Equal sizes go by name.
 *
 * @throws IncipitError `model_not_found` or `model_download`, saying what was tried and how to go on
 */
export async function resolveModel(
  reference: string | undefined,
  options: ResolveOptions = {},
): Promise<ResolvedModel> {
  const env = options.env ?? process.env
  // Asked for where they are needed: a path is a model without them.
  const stores = () => modelStores(env, options.root)
  const { option = '--model' } = options
  if (reference) return { path: await referred(reference, option, stores), chosenBy: option }
  if (env.INCIPIT_MODEL) {
    return { path: await referred(env.INCIPIT_MODEL, 'INCIPIT_MODEL', stores), chosenBy: 'INCIPIT_MODEL' }
  }
  const { read } = await stores()
  for (const store of read) {
    const path = await choose(await listModels(store), options.memory)
    if (path !== undefined) return { path, chosenBy: 'the model store' }
  }
  const embedded = await choose(await embeddedModels(options.root), options.memory)
  if (embedded !== undefined) return { path: embedded, chosenBy: 'the embedded model' }
  throw new IncipitError(
    'model_not_found',
    `no model found: neither --model nor INCIPIT_MODEL is given, the model store (${read.join(', ')}) has no ` +
      `readable GGUF file, and no model is embedded; ${howToGoOn}`,
  )
}

async function referred(reference: string, giver: string, stores: () => Promise<ModelStores>): Promise<string> {
  const fromHub = async (reference: string) => download(reference, { store: (await stores()).write })
  if (isHubReference(reference)) return fromHub(reference)
  const path = absolute(reference)
  if (await isFile(path)) return path

  const { read, write } = await stores()
  const models = (await Promise.all(read.map(listModels))).flat()
  const matches = named(models, reference)
  if (matches.length > 1 && matches[0]?.name === matches[1]?.name) return matches[0]!.path
  if (matches.length > 1) {
    const names = matches.map(({ name }) => name).join(', ')
    throw new IncipitError('model_not_found', `${giver} ${reference} means several models of the store: ${names}`)
  }
  if (matches[0] !== undefined) return matches[0].path
  const short = namedShortly(await shortNames(write), reference)
  if (short !== undefined) return fromHub(short)
  const has = models.length === 0 ? 'which is empty' : `which has ${models.map(({ name }) => name).join(', ')}`
  throw new IncipitError(
    'model_not_found',
    `${giver} ${reference} is neither a file (${path}) nor a short name nor a model of the store (${read.join(', ')}), ${has}; ` +
      howToGoOn,
  )
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

async function choose(models: readonly StoredModel[], memory = process.availableMemory()): Promise<string | undefined> {
  // The common store needs no reading, and a single broken file is better reported by whoever loads it.
  if (models.length <= 1) return models[0]?.path
  const bySize = [...models].sort((a, b) => b.size - a.size)
  const { metadataString, readGguf } = await import('@incipit/engine/gguf')
  const fitting = bySize.filter(({ size }) => size <= memory / 2)
  let largest: string | undefined
  for (const model of fitting) {
    const gguf = await readGguf(model.path).catch(() => undefined)
    if (gguf === undefined) continue
    if (metadataString(gguf.metadata, 'tokenizer.chat_template') !== undefined) return model.path
    largest ??= model.path
  }
  return largest ?? bySize.at(-1)?.path
}
