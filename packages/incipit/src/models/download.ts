import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { IncipitError } from '@incipit/engine/api'
import { HubFile } from './hub.ts'
import { type Lock, lockFile } from './lock.ts'
import { bytes, createProgress, type Progress } from './progress.ts'
import { type HubReference, parseHubReference } from './reference.ts'

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
 * that is there already is returned at once. Of a split model (`-00001-of-00003.gguf`) all parts are downloaded.
 *
 * The content arrives in a `.part` file, which the next call continues if this one is interrupted; it gets its name
 * only when its SHA-256 is the one the hub states.
 *
 * @throws IncipitError `model_download`, saying what was tried and how to go on
 */
export async function download(reference: string, options: DownloadOptions): Promise<string> {
  const parsed = parseHubReference(reference)
  const [first = '', ...others] = parts(parsed.file ?? (await fileNeeded(reference, parsed, options)))
  const path = await downloadFile(reference, { ...parsed, file: first }, options)
  for (const file of others) await downloadFile(reference, { ...parsed, file }, options)
  return path
}

function parts(file: string): string[] {
  const match = /^(.*-)00001(-of-(\d{5})\.gguf)$/.exec(file)
  if (!match) return [file]
  return Array.from({ length: Number(match[3]) }, (_, i) => `${match[1]}${String(i + 1).padStart(5, '0')}${match[2]}`)
}

async function fileNeeded(
  reference: string,
  { repo, revision }: HubReference,
  options: DownloadOptions,
): Promise<never> {
  const files = await new HubFile(reference, { repo, revision, file: '' }, options).siblings('gguf')
  const pick = files.length === 0 ? 'it has no GGUF files' : `pick one of its files: ${files.join(', ')}`
  throw new IncipitError('model_download', `${reference} names a repository; ${pick}`)
}

async function downloadFile(
  reference: string,
  target: HubReference & { file: string },
  options: DownloadOptions,
): Promise<string> {
  const { repo, revision, file } = target
  const folder = revision === 'main' ? repo : `${repo}@${revision}`
  const path = join(options.store, ...folder.split('/'), ...file.split('/'))
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
          options.progress.update(length, size)
        }
        if (length > size) throw new Error(`more than the ${size} bytes that were announced arrived`)
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
