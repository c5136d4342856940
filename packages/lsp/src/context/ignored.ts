import { readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import ignore, { type Ignore } from 'ignore'

const refreshMs = 10_000

/** What the `.gitignore` files of a workspace keep out. Read when they are first needed, and again after a while. */
export class IgnoredFiles {
  readonly #root: string
  readonly #rules = new Map<string, { rules: Ignore | undefined; at: number }>()

  constructor(root: string) {
    this.#root = root
  }

  /** Whether a file (absolute path) is ignored, or lies outside the workspace. */
  has(path: string): boolean {
    const inside = relative(this.#root, path)
    if (inside === '' || inside.startsWith('..')) return true
    const parts = inside.split(sep)
    if (parts.includes('.git') || parts.includes('node_modules')) return true
    let folder = this.#root
    for (let i = 0; i < parts.length; i++) {
      const rules = this.#rulesOf(folder)
      if (rules?.ignores(parts.slice(i).join('/'))) return true
      folder = join(folder, parts[i]!)
      if (folder === dirname(path) && i === parts.length - 1) break
    }
    return false
  }

  #rulesOf(folder: string): Ignore | undefined {
    const known = this.#rules.get(folder)
    const now = Date.now()
    if (known && now - known.at < refreshMs) return known.rules
    const rules = read(join(folder, '.gitignore'))
    this.#rules.set(folder, { rules, at: now })
    return rules
  }
}

function read(path: string): Ignore | undefined {
  try {
    return ignore().add(readFileSync(path, 'utf8'))
  } catch {
    // No such file, in nearly all folders.
    return undefined
  }
}
