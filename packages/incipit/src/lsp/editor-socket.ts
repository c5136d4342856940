import { createHash } from 'node:crypto'
import { mkdir, realpath, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { defaultCacheDir } from '@incipit/engine/gguf'
import { AttachedBackend, type Backend, BackendHost } from '@incipit/lsp'
import { lockFile } from '../models/lock.ts'

/** In a folder that only this user can enter. */
function folderOfSockets(): string {
  return join(defaultCacheDir(), 'editors')
}

/** Where editors find an engine for a model: a socket of this user. */
export async function editorSocket(model: string): Promise<string> {
  const folder = folderOfSockets()
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = await realpath(model)
  const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)
  // Windows has pipes by name instead: one for each user's folder.
  if (process.platform === 'win32') return `\\\\.\\pipe\\incipit-${hash(`${folder} ${path}`)}`
  // Short: the address of a socket has about a hundred bytes.
  return join(folder, `${hash(path)}.sock`)
}

/**
 * Listens for editors, unless somebody does already. A socket that nobody listens on any more is taken over.
 * @returns undefined where somebody else has it
 */
export async function listenForEditors(
  backend: Backend,
  path: string,
  onUnused?: () => void,
): Promise<BackendHost | undefined> {
  const lock = await lockFile(join(folderOfSockets(), `${basename(path)}.lock`))
  try {
    const other = await AttachedBackend.attach(path)
    if (other) {
      await other.close()
      return undefined
    }
    // A pipe is gone with whoever had it.
    if (process.platform !== 'win32') await rm(path, { force: true })
    return await BackendHost.listen(backend, path, onUnused)
  } finally {
    await lock.release()
  }
}
