import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { IncipitError } from '@incipit/engine/api'
import { HubFile } from './hub.ts'
import { type Lock, lockFile } from './lock.ts'
import { bytes, createProgress, type Progress } from './progress.ts'
import { quantizedAs } from './quantization.ts'
import { folderOf, type HubReference, parseHubReference, staysInside } from './reference.ts'
import { partsOf } from './split.ts'

export interface DownloadOptions {
  /** Folder of the model store; made when missing. */
  store: string
  /** HF_ENDPOINT and HF_TOKEN. Default: `process.env`. */
  env?: Readonly<Record<string, string | undefined>>
  /** Default: a bar or lines on stderr. */
  progress?: Progress
  /** Pause before an interrupted transfer continues, in milliseconds; it grows with each failure. Default 1000. */
  retryDelayMs?: number
  /** When a lock that is not renewed belongs to nobody any more, in milliseconds. Default 5000. */
  lockStaleMs?: number
}

/** Interruptions in a row, without a byte arriving between them, before giving up. */
const mostFailures = 4

/**
 * Downloads `hf:owner/repo/file.gguf` into the store, `<store>/owner/repo/file.gguf`, and returns that path; a file
 * that is there already is returned at once. Of a split model (`-00001-of-00003.gguf`) all parts are downloaded, and the
 * path is that of the first. `hf:owner/repo:Q4_K_M` is the file that is quantized so.
 *
 * The content arrives in a `.part` file, which the next call continues if this one is interrupted; it gets its name
 * only when its SHA-256 is the one the hub states.
 *
 * @throws IncipitError `model_download`, saying what was tried and how to go on
 */
export async function download(reference: string, options: DownloadOptions): Promise<string> {
  const parsed = parseHubReference(reference)
  const file = parsed.file ?? (await chosenFile(reference, parsed, options))
  const paths: string[] = []
  for (const part of partsOf(file)) paths.push(await downloadFile(reference, { ...parsed, file: part }, options))
  return paths[0]!
}

/** The file that a quantization names: in the store, where nobody has to be asked, else in the repository. */
async function chosenFile(reference: string, parsed: HubReference, options: DownloadOptions): Promise<string> {
  const { repo, revision, quantization } = parsed
  const there = await readdir(join(options.store, ...folderOf(parsed)), { recursive: true }).catch(() => [])
  const stored = there.map((name) => name.split(sep).join('/'))
  const kept = quantization === undefined ? undefined : quantizedAs(stored, quantization)
  if (kept !== undefined) return kept
  const hub = new HubFile(reference, { repo, revision, file: '' }, options)
  const files = (await hub.siblings('gguf')).filter(staysInside)
  const found = quantization === undefined ? undefined : quantizedAs(files, quantization)
  if (found !== undefined) return found
  if (files.length === 0) throw hub.failure('the repository has no GGUF files')
  const choice = `its files are ${files.join(', ')}`
  if (quantization !== undefined) throw hub.failure(`none of its files is quantized as ${quantization}; ${choice}`)
  throw hub.failure(`this names a repository, and one of its files is wanted (hf:owner/repo:Q4_K_M); ${choice}`)
}

async function downloadFile(
  reference: string,
  target: HubReference & { file: string },
  options: DownloadOptions,
): Promise<string> {
  const { file } = target
  const path = join(options.store, ...folderOf(target), ...file.split('/'))
  if ((await sizeOf(path)) !== undefined) return path

  const hub = new HubFile(reference, target, options)
  const { size, sha256, etag } = await hub.describe()
  await mkdir(dirname(path), { recursive: true }).catch((error) => {
    throw hub.failure(`the folder ${dirname(path)} cannot be made: ${error.message}`, error)
  })
  // The name says which content: a file that changed upstream must not be glued to the beginning of its former self.
  const part = `${path}.${etag.slice(0, 12)}.part`
  const lock = await lockFile(`${part}.lock`, options.lockStaleMs).catch((error) => {
    throw hub.failure(error.message, error)
  })
  const progress = options.progress ?? createProgress(basename(file))
  try {
    // Whoever held the lock before may have done the work.
    if ((await sizeOf(path)) !== undefined) return path
    const have = (await sizeOf(part)) ?? 0
    const { bavail, bsize } = await statfs(dirname(path))
    if (size - have > bavail * bsize) {
      throw hub.failure(`${dirname(path)} has ${bytes(bavail * bsize)} free, ${bytes(size - have)} are needed`)
    }
    const hash = await transfer(hub, part, size, { ...options, progress, lock })
    if (sha256 === undefined) progress.note(`${file}: the hub states no checksum; only the size was checked`)
    else if (hash !== sha256) {
      await rm(part, { force: true })
      throw hub.failure(`the checksum of what arrived is ${hash}, the hub states ${sha256}; it was removed, try again`)
    }
    await rename(part, path)
    return path
  } finally {
    progress.end()
    await lock.release()
  }
}

/** Fills the part file up to `size` bytes, over interruptions, and returns the SHA-256 of all of it. */
async function transfer(
  hub: HubFile,
  part: string,
  size: number,
  options: DownloadOptions & { progress: Progress; lock: Lock },
): Promise<string> {
  const handle = await open(part, 'a+')
  try {
    let { hash, length } = await begun(part, size)
    if (length === 0) await handle.truncate(0)
    if (length > 0) options.progress.note(`${basename(part)}: continuing after ${bytes(length)}`)
    options.progress.update(length, size)
    for (let failures = 0; length < size; ) {
      const before = length
      try {
        for await (const chunk of hub.content(length)) {
          if (options.lock.lost) throw hub.failure('another process may be downloading the same file by now; try again')
          length += await append(handle, hash, chunk)
          if (length > size) throw new Error(`more than the ${size} bytes that were announced arrived`)
          options.progress.update(length, size)
        }
        if (length < size) throw new Error('the connection ended early')
      } catch (error) {
        if (error instanceof IncipitError) throw error
        if (hub.rangeIgnored || length > size) {
          await handle.truncate(0)
          hash = createHash('sha256')
          length = 0
        }
        failures = length > before ? 1 : failures + 1
        const why = error instanceof Error ? error.message : String(error)
        if (failures >= mostFailures) {
          throw hub.failure(
            `the connection broke after ${bytes(length)} of ${bytes(size)} (${why}); the same command continues there`,
            error,
          )
        }
        options.progress.note(`${basename(part)}: interrupted after ${bytes(length)} (${why}); trying again`)
        await wait((options.retryDelayMs ?? 1000) * failures)
      }
    }
    await handle.sync()
    return hash.digest('hex')
  } finally {
    await handle.close()
  }
}

async function append(handle: FileHandle, hash: Hash, chunk: Uint8Array): Promise<number> {
  await handle.write(chunk)
  hash.update(chunk)
  return chunk.byteLength
}

/** Hash and length of what an earlier call left; nothing when that is longer than the file can be. */
async function begun(part: string, size: number): Promise<{ hash: Hash; length: number }> {
  const hash = createHash('sha256')
  const length = (await sizeOf(part)) ?? 0
  if (length === 0 || length > size) return { hash, length: 0 }
  for await (const chunk of createReadStream(part, { end: length - 1 })) hash.update(chunk as Buffer)
  return { hash, length }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => found.size,
    () => undefined,
  )
}
