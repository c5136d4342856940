import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

// What benchmarks find around them: weights and prompts, cores, a place for files.

const shared = join(import.meta.dirname, '../../../../shared')

/** SmolLM2-135M, beside the repository or in the folder that INCIPIT_MODELS names. */
export const defaultModel = join(
  process.env.INCIPIT_MODELS ?? join(shared, 'models'),
  'SmolLM2-135M-Instruct.Q4_1.gguf',
)
/** Folder of real prompts: `chat.jsonl`, `code.jsonl`. */
export const defaultPrompts = join(shared, 'prompts')
/** Compute threads: INCIPIT_THREADS, or as many as there are cores. */
export const threads = Number(process.env.INCIPIT_THREADS) || availableParallelism()

/**
 * Ends the program where a file is missing.
 * @param files by what they are, such as the option that names another
 */
export function requireFiles(files: Readonly<Record<string, string | undefined>>): void {
  for (const [what, path] of Object.entries(files)) {
    if (path !== undefined && existsSync(path)) continue
    console.error(path === undefined ? `${what} is missing` : `${what}: ${path} is missing`)
    process.exit(2)
  }
}

/** An empty folder that is gone when the program ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'incipit-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
