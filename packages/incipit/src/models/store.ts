import { existsSync, statSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout this file belongs to. As an installed package there is none, and nothing will be found there. */
const checkout = fileURLToPath(new URL('../../../..', import.meta.url))

type Environment = Readonly<Record<string, string | undefined>>

export interface ModelStores {
  read: string[]
  write: string
}

/**
 * Where models are looked for, in order, and where downloads go. INCIPIT_MODELS is both. Without it, downloads go to
 * `models` in the cache, and a checkout that has a folder `../shared/models` beside it (development) looks there first.
 */
export async function modelStores(env: Environment = process.env, root = checkout): Promise<ModelStores> {
  if (env.INCIPIT_MODELS) {
    const store = resolve(env.INCIPIT_MODELS)
    return { read: [store], write: store }
  }
  const { defaultCacheDir } = await import('@incipit/engine')
  const write = join(defaultCacheDir(env), 'models')
  const shared = resolve(root, '..', 'shared', 'models')
  const development = existsSync(join(root, 'package-lock.json')) && isDirectory(shared)
  return { read: development ? [shared, write] : [write], write }
}

/** Files of the embedded model in the checkout; empty when there is none. */
export async function embeddedModels(root = checkout): Promise<StoredModel[]> {
  return listModels(join(root, 'models', 'prelude'))
}

export interface StoredModel {
  path: string
  /** Path inside the store with forward slashes and without `.gguf`. */
  name: string
  /** Bytes. */
  size: number
}

/**
 * The GGUF files of a store, sorted by name. A store that does not exist is empty. Left out are what is no model of its
 * own: the further parts of a split model, and image projectors.
 */
export async function listModels(store: string): Promise<StoredModel[]> {
  const entries = await readdir(store, { recursive: true, withFileTypes: true }).catch(() => [])
  const models: StoredModel[] = []
  for (const entry of entries) {
    if (!/\.gguf$/i.test(entry.name) || /^\.|mmproj/i.test(entry.name)) continue
    const part = /-(\d{5})-of-\d{5}\.gguf$/i.exec(entry.name)
    if (part && Number(part[1]) > 1) continue
    const path = join(entry.parentPath, entry.name)
    // Follows links: stores are often made of them.
    const found = await stat(path).catch(() => undefined)
    if (!found?.isFile()) continue
    models.push({ path, name: relative(store, path).split(sep).join('/').slice(0, -'.gguf'.length), size: found.size })
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Models whose name, or its last part, is `name` (with or without `.gguf`). */
export function named(models: readonly StoredModel[], name: string): StoredModel[] {
  const wanted = name.replace(/\.gguf$/i, '')
  const exact = models.filter((model) => model.name === wanted)
  return exact.length > 0 ? exact : models.filter((model) => basename(model.name) === wanted)
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
