import { createHash } from 'node:crypto'
import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../api/engine-options.ts'
import { IncipitError } from '../api/errors.ts'
import { derived, derivedDir } from '../gguf/index.ts'
import { libraryVersion } from '../llama/layouts.ts'
import { writeDerived } from './derived-json.ts'

/** State files are there before the manifest that names them. Without one after this time they belong to nobody. */
const orphanMs = 60 * 60 * 1000
const longestName = 200

interface PrefixStoreOptions {
  cacheDir: string
  /** Content hash of the model. */
  hash: string
  /** Type of the KV cells, e.g. `f16`. */
  cells: string
  /** Layer ranges of the stages. */
  stages: readonly (readonly [from: number, to: number])[]
  /** Bytes that all saved prefixes of the model may take; the least recently used ones go first. */
  maxBytes: number
  log: Log
}

/** A saved prefix: tokens, and who may share their rows. */
export interface SavedPrefix {
  readonly name: string
  readonly tokens: readonly number[]
  readonly salt: string
  /** Its state files, one per stage. */
  readonly files: readonly string[]
  readonly bytes: number
}

/** What stands in `prefix-<id>.json`. State files lie beside it. */
interface Manifest {
  name: string
  salt: string
  tokens: number[]
  /** All that the rows depend on: content hash of the model, version of llama.cpp, type of the cells, cut. */
  basis: string
  files: { name: string; bytes: number }[]
}

/**
 * Named prefixes (system prompts) on disk, beside the stage files of their model. A prefix of another model, version of
 * llama.cpp, type of cells or cut is not seen. It writes no rows itself: the caller does, per stage, to a path it is
 * given.
 */
export class PrefixStore {
  readonly #options: PrefixStoreOptions
  readonly #directory: string
  readonly #basis: string
  readonly #prefixes = new Map<string, SavedPrefix>()
  /** Changes run one after the other. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: PrefixStoreOptions) {
    this.#options = options
    this.#directory = derivedDir(options.cacheDir, options.hash)
    const { hash, cells, stages } = options
    this.#basis = JSON.stringify({ model: hash, library: libraryVersion, cells, stages })
  }

  /** Reads what is there. Files that are damaged are named in the log and removed. */
  static async open(options: PrefixStoreOptions): Promise<PrefixStore> {
    const store = new PrefixStore(options)
    for (const { path, manifest } of await store.#manifests()) {
      if (manifest.basis === store.#basis && store.#manifestPath(manifest.name) === path) store.#remember(manifest)
    }
    return store
  }

  /** All prefixes, by name. */
  list(): SavedPrefix[] {
    return [...this.#prefixes.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /**
   * Saves a prefix, in place of one of the same name.
   * @param write writes the rows of a stage to a path that does not exist yet
   * @returns false when it is larger than all prefixes together may be
   * @throws IncipitError `invalid_request` for an impossible name; what `write` throws; the system's own error when the
   *   cache cannot be written
   */
  save(
    name: string,
    prefix: { tokens: readonly number[]; salt: string },
    write: (stage: number, path: string) => Promise<void>,
  ): Promise<boolean> {
    if (name === '' || name.length > longestName) {
      const message = `the name of a prefix has 1 to ${longestName} characters, not ${name.length}`
      throw new IncipitError('invalid_request', message, { param: 'name' })
    }
    return this.#inTurn(async () => {
      const { cacheDir, hash, stages, maxBytes, log } = this.#options
      const id = idOf(this.#basis, name, prefix.tokens.join())
      const files: Manifest['files'] = []
      for (let stage = 0; stage < stages.length; stage++) {
        const file = `prefix-${id}-${stage}.kv`
        const path = await derived(cacheDir, hash, file, (temporary) => write(stage, temporary))
        files.push({ name: file, bytes: (await stat(path)).size })
      }
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
      if (bytes > maxBytes) {
        await removeAll(files.map((file) => join(this.#directory, file.name)))
        log(
          'warn',
          `the prefix '${name}' is not saved: its ${bytes} bytes are more than the ${maxBytes} for all of them`,
        )
        return false
      }
      const before = this.#prefixes.get(name)
      const manifest = { name, salt: prefix.salt, tokens: [...prefix.tokens], basis: this.#basis, files }
      await writeDerived(this.#manifestPath(name), manifest)
      const saved = this.#remember(manifest)
      await removeAll(before?.files.filter((file) => !saved.files.includes(file)) ?? [])
      await this.#shrink(this.#manifestPath(name))
      return true
    })
  }

  /** A prefix whose files are all there. It counts as used. */
  load(name: string): Promise<SavedPrefix | undefined> {
    return this.#inTurn(async () => {
      const prefix = this.#prefixes.get(name)
      if (prefix === undefined) return undefined
      const path = this.#manifestPath(name)
      const manifest = await this.#read(path)
      if (manifest?.basis !== this.#basis) {
        // Another process removed it, or it was damaged meanwhile.
        this.#prefixes.delete(name)
        return undefined
      }
      const now = new Date()
      await utimes(path, now, now).catch(() => {})
      return this.#remember(manifest)
    })
  }

  /** Removes a prefix, if it is there. */
  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const prefix = this.#prefixes.get(name)
      this.#prefixes.delete(name)
      if (prefix !== undefined) await removeAll([this.#manifestPath(name), ...prefix.files])
    })
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change)
    this.#last = result.catch(() => {})
    return result
  }

  #manifestPath(name: string): string {
    return join(this.#directory, `prefix-${idOf(this.#basis, name)}.json`)
  }

  #remember({ name, salt, tokens, files }: Manifest): SavedPrefix {
    const prefix: SavedPrefix = {
      name,
      salt,
      tokens,
      files: files.map((file) => join(this.#directory, file.name)),
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    }
    this.#prefixes.set(name, prefix)
    return prefix
  }

  /** All manifests of the model, also for other cuts and versions; what is damaged or belongs to nobody goes. */
  async #manifests(): Promise<{ path: string; manifest: Manifest }[]> {
    const names = await readdir(this.#directory).catch(() => [])
    const found: { path: string; manifest: Manifest }[] = []
    for (const name of names.filter((name) => /^prefix-[0-9a-f]+\.json$/.test(name))) {
      const path = join(this.#directory, name)
      const manifest = await this.#read(path)
      if (manifest !== undefined) found.push({ path, manifest })
    }
    const named = new Set(found.flatMap(({ manifest }) => manifest.files.map((file) => file.name)))
    const orphans = names.filter((name) => /^prefix-.*\.kv$/.test(name) && !named.has(name))
    for (const path of orphans.map((name) => join(this.#directory, name))) {
      if (Date.now() - (await modified(path)) > orphanMs) await removeAll([path])
    }
    return found
  }

  /** A manifest whose files are all there, whole; undefined otherwise, and then it is removed. */
  async #read(path: string): Promise<Manifest | undefined> {
    let why: string
    try {
      const manifest: unknown = JSON.parse(await readFile(path, 'utf8'))
      if (isManifest(manifest)) {
        const missing = await this.#missing(manifest)
        if (missing === undefined) return manifest
        await removeAll(manifest.files.map((file) => join(this.#directory, file.name)))
        why = `${missing} is missing or cut short`
      } else why = 'it is no manifest'
    } catch (error) {
      // Another engine removed it.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      why = (error as Error).message
    }
    this.#options.log('warn', `a saved prefix is removed: ${path}: ${why}`)
    await removeAll([path])
    return undefined
  }

  async #missing({ files }: Manifest): Promise<string | undefined> {
    for (const { name, bytes } of files) {
      const size = await stat(join(this.#directory, name)).then(
        (found) => found.size,
        () => -1,
      )
      if (size !== bytes) return name
    }
    return undefined
  }

  /** Removes the prefixes that were not used for the longest time until the others fit. The newest one stays. */
  async #shrink(newest: string): Promise<void> {
    const all: { path: string; manifest: Manifest; used: number }[] = []
    for (const found of await this.#manifests()) {
      all.push({ ...found, used: found.path === newest ? Number.POSITIVE_INFINITY : await modified(found.path) })
    }
    const bytesOf = (manifest: Manifest) => manifest.files.reduce((sum, { bytes }) => sum + bytes, 0)
    let total = all.reduce((sum, { manifest }) => sum + bytesOf(manifest), 0)
    for (const { path, manifest } of all.sort((a, b) => a.used - b.used)) {
      if (total <= this.#options.maxBytes) return
      total -= bytesOf(manifest)
      await removeAll([path, ...manifest.files.map((file) => join(this.#directory, file.name))])
      if (manifest.basis === this.#basis) this.#prefixes.delete(manifest.name)
      this.#options.log('info', `the saved prefix '${manifest.name}' made room for others`)
    }
  }
}

function idOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
}

async function modified(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.mtimeMs,
    () => Number.POSITIVE_INFINITY,
  )
}

async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true }).catch(() => {})
}

function isManifest(value: unknown): value is Manifest {
  const { name, salt, tokens, basis, files } = (value ?? {}) as Record<keyof Manifest, unknown>
  const texts = [name, salt, basis].every((text) => typeof text === 'string')
  const isFile = (file: unknown) => {
    const { name, bytes } = (file ?? {}) as Record<string, unknown>
    return typeof name === 'string' && /^prefix-[0-9a-f]+-\d+\.kv$/.test(name) && Number.isInteger(bytes)
  }
  return texts && Array.isArray(tokens) && tokens.every(Number.isInteger) && Array.isArray(files) && files.every(isFile)
}
