import { readFile, rename, writeFile } from 'node:fs/promises'
import { IncipitError } from '../api/errors.ts'

/** Reads a JSON file, or undefined when it does not exist. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new IncipitError('tune_failed', `${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** Writes a JSON file whole: to a temporary name, then renamed. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`)
  await rename(temporary, path)
}
