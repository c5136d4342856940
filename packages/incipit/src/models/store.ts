import { existsSync, statSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { partsOf } from './split.ts'

/** Where `models/` with the embedded model is: in the checkout that this file belongs to, or in the installed package. */
const home = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../../..' : '../..', import.meta.url))

type Environment = Readonly<Record<string, string | undefined>>

export interface ModelStores {
  read: string[]
  write: string
}

/**
 * Where models are looked for, in order, and where downloads go. INCIPIT_MODELS is both. Without it, downloads go to
 * `models` in the cache, and a checkout that has a folder `../shared/models` beside it (development) looks there first.
 */
export async function modelStores(env: Environment = process.env, root = home): Promise<ModelStores> {
  if (env.INCIPIT_MODELS) {
    const store = resolve(env.INCIPIT_MODELS)
    return { read: [store], write: store }
  }
  const { defaultCacheDir } = await import('@incipit/engine/gguf')
  const write = join(defaultCacheDir(env), 'models')
  const shared = resolve(root, '..', 'shared', 'models')
  const development = existsSync(join(root, 'package-lock.json')) && isDirectory(shared)
  return { read: development ? [shared, write] : [write], write }
}

/** Files of the embedded model; empty when there is none. */
export async function embeddedModels(root = home): Promise<StoredModel[]> {
  return listModels(join(root, 'models', 'prelude'))
}

export interface StoredModel {
  /** Of a split model, that of the first part. */
  path: string
  /** Path inside the store with forward slashes, without `.gguf` and which part it is. */
  name: string
  /** Bytes, of all files. */
  size: number
  /** All parts of the model, and what an interrupted download left. */
  files: readonly string[]
  modified: Date
  /** No part is missing. */
  complete: boolean
}

/**
 * The models of a store, sorted by name. A store that does not exist is empty. Left out are what is no model of its own,
 * image projectors, and models of which a part is missing.
 */
export async function listModels(store: string): Promise<StoredModel[]> {
  return (await listAll(store)).filter(({ complete }) => complete)
}

/** The same with models whose download was interrupted. */
export async function listAll(store: string): Promise<StoredModel[]> {
  const entries = await readdir(store, { recursive: true, withFileTypes: true }).catch(() => [])
  const groups = new Map<string, StoredFile[]>()
  for (const entry of entries) {
    const [, file] = /^(.+\.gguf)(\.\w+\.part)?$/i.exec(entry.name) ?? []
    if (file === undefined || /^\.|mmproj/i.test(file)) continue
    const path = join(entry.parentPath, entry.name)
    // Follows links: stores are often made of them.
    const found = await stat(path).catch(() => undefined)
    if (!found?.isFile()) continue
    const key = join(entry.parentPath, partsOf(file)[0]!)
    const group = groups.get(key) ?? []
    groups.set(key, [...group, { path, size: found.size, modified: found.mtime }])
  }
  const models = [...groups].map(([path, files]): StoredModel => {
    const there = new Set(files.map(({ path }) => path))
    return {
      path,
      name: nameOf(relative(store, path).split(sep).join('/')),
      size: files.reduce((sum, { size }) => sum + size, 0),
      files: [...there],
      modified: files[0]!.modified,
      complete: partsOf(path).every((part) => there.has(part)),
    }
  })
  return models.sort((a, b) => (a.name < b.name ? -1 : 1))
}

interface StoredFile {
  path: string
  size: number
  modified: Date
}

/** Models whose name, or its last part, is `name` (with or without `.gguf`). */
export function named(models: readonly StoredModel[], name: string): StoredModel[] {
  const wanted = nameOf(name)
  const exact = models.filter((model) => model.name === wanted)
  return exact.length > 0 ? exact : models.filter((model) => basename(model.name) === wanted)
}

function nameOf(file: string): string {
  return file.replace(/(-\d{5}-of-\d{5})?(\.gguf)?$/i, '')
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
