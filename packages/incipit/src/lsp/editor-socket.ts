import { createHash } from 'node:crypto'
import { mkdir, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultCacheDir } from '@incipit/engine'
import { AttachedBackend, type Backend, BackendHost } from '@incipit/lsp'
import { lockFile } from '../models/lock.ts'

/** Where editors find an engine for a model: a socket of this user, in a folder that only they can enter. */
export async function editorSocket(model: string): Promise<string> {
  const folder = join(defaultCacheDir(), 'editors')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // Short: the address of a socket has about a hundred bytes.
  return join(
    folder,
    `${createHash('sha256')
      .update(await realpath(model))
      .digest('hex')
      .slice(0, 16)}.sock`,
  )
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
  const lock = await lockFile(`${path}.lock`)
  try {
    const other = await AttachedBackend.attach(path)
    if (other) {
      await other.close()
      return undefined
    }
    await rm(path, { force: true })
    return await BackendHost.listen(backend, path, onUnused)
  } finally {
    await lock.release()
  }
}
