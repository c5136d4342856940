import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { IncipitError } from '../api/errors.ts'

/** Large reads: hashing is then as fast as the disk or SHA-256, whichever is slower. */
const hashChunkBytes = 1024 * 1024

/** A temporary file nobody wrote to for this long is abandoned, whoever made it. */
const abandonedMs = 24 * 60 * 60 * 1000

/**
 * The per-user cache directory: `INCIPIT_CACHE`, else `incipit` in the system's place for caches. Not created.
 * The arguments are for tests.
 */
export function defaultCacheDir(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  if (env.INCIPIT_CACHE) return resolve(env.INCIPIT_CACHE)
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'incipit')
  if (platform === 'win32') return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'incipit')
  // The XDG specification: a relative path is to be ignored.
  const xdg = env.XDG_CACHE_HOME
  return join(xdg && isAbsolute(xdg) ? xdg : join(home, '.cache'), 'incipit')
}

/**
 * SHA-256 of a file's content as hex. Computed once per (real path, size, modification time, inode) and remembered in
 * `cacheDir`; where that cannot be written it is computed each time.
 *
 * Errors: `model_not_found` when the file cannot be read.
 */
export async function modelHash(path: string, cacheDir: string = defaultCacheDir()): Promise<string> {
  try {
    const before = await identityOf(path)
    const note = join(cacheDir, 'hashes', createHash('sha256').update(before).digest('hex'))
    const known = await readFile(note, 'utf8').catch(() => '')
    if (/^[0-9a-f]{64}$/.test(known)) return known
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(path, { highWaterMark: hashChunkBytes })) hash.update(chunk)
    const hex = hash.digest('hex')
    // A file that changed meanwhile has a hash of no single content.
    if ((await identityOf(path)) === before) await remember(note, hex).catch(() => {})
    return hex
  } catch (error) {
    throw new IncipitError('model_not_found', `${path}: cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

async function identityOf(path: string): Promise<string> {
  const real = await realpath(path)
  const { size, mtimeNs, ino } = await stat(real, { bigint: true })
  return JSON.stringify([real, `${size}`, `${mtimeNs}`, `${ino}`])
}

async function remember(note: string, hash: string): Promise<void> {
  await mkdir(dirname(note), { recursive: true })
  await removeAbandoned(dirname(note))
  const temporary = temporaryName(note)
  await writeFile(temporary, hash)
  await rename(temporary, note)
}

/** The directory of everything derived from the model with content `hash`. Errors: `invalid_request` for no hash. */
export function derivedDir(cacheDir: string, hash: string): string {
  if (!/^[0-9a-f]{16,}$/.test(hash)) throw new IncipitError('invalid_request', `'${hash}' is no content hash`)
  return join(cacheDir, hash.slice(0, 16))
}

/**
 * The path of a file derived from the model with content `hash`: `<cacheDir>/<first 16 of hash>/<name>`. When it does
 * not exist, `make` writes it to the path it is given (which does not exist yet), and it is synced and renamed. Processes
 * that do this at once each make their own; one of the equal results stays. A kill leaves no file under the final name,
 * and its temporary file is removed by the next call.
 *
 * Errors: those of `make`, and the system's own when the cache cannot be written.
 */
export async function derived(
  cacheDir: string,
  hash: string,
  name: string,
  make: (temporaryPath: string) => Promise<void>,
): Promise<string> {
  const directory = derivedDir(cacheDir, hash)
  if (name === '' || name.startsWith('.') || basename(name) !== name) {
    throw new IncipitError('invalid_request', `'${name}' is no name for a file in the cache`)
  }
  const path = join(directory, name)
  if (await exists(path)) return path
  await mkdir(directory, { recursive: true })
  await removeAbandoned(directory)
  const temporary = temporaryName(path)
  try {
    await make(temporary)
    await sync(temporary, 'r+')
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    // Windows refuses to replace a file that another process has mapped: then that process was first.
    if ((error as NodeJS.ErrnoException).syscall === 'rename' && (await exists(path))) return path
    throw error
  }
  // The rename itself survives a power cut once the directory is synced; not every system can do that.
  await sync(directory, 'r').catch(() => {})
  return path
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

async function sync(path: string, mode: 'r' | 'r+'): Promise<void> {
  const handle = await open(path, mode)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

// A process id means something on its own machine only, and a cache may be on a network drive.
const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const temporaryPattern = /\.([0-9a-f]{8})\.(\d+)\.[0-9a-f-]{36}\.tmp$/

function temporaryName(path: string): string {
  return `${path}.${host}.${process.pid}.${randomUUID()}.tmp`
}

async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const match = temporaryPattern.exec(name)
    if (match === null) continue
    const path = join(directory, name)
    const dead = match[1] === host && !isAlive(Number(match[2]))
    // A file that is gone by now was renamed or removed by its owner.
    const modified = await stat(path).then(
      (found) => found.mtimeMs,
      () => Number.POSITIVE_INFINITY,
    )
    if (dead || Date.now() - modified > abandonedMs) await rm(path, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
