import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { IgnoredFiles } from '../context/ignored.ts'

/** The folders that an editor has open. */
export class Workspace {
  readonly #folders: readonly { readonly root: string; readonly ignored: IgnoredFiles }[]

  constructor(uris: readonly string[]) {
    this.#folders = uris
      .map(pathOf)
      .filter((path) => path !== undefined)
      .map((root) => ({ root, ignored: new IgnoredFiles(root) }))
  }

  /** Path inside its folder with forward slashes; the last part of it for what belongs to none. */
  pathOf(uri: string): string {
    const path = pathOf(uri)
    const folder = path && this.#folders.find(({ root }) => path.startsWith(root + sep))
    if (path && folder) return relative(folder.root, path).split(sep).join('/')
    return decodeURIComponent(uri.split('/').at(-1) ?? uri)
  }

  /** Whether a file may be context for others: in a folder, and not ignored by git there. An unsaved one may. */
  isContext(uri: string): boolean {
    const path = pathOf(uri)
    if (path === undefined) return uri.startsWith('untitled:')
    const folder = this.#folders.find(({ root }) => path.startsWith(root + sep))
    return folder !== undefined && !folder.ignored.has(path)
  }
}

function pathOf(uri: string): string | undefined {
  if (!uri.startsWith('file:')) return undefined
  try {
    return fileURLToPath(uri)
  } catch {
    return undefined
  }
}
