import { readFile, rename, writeFile } from 'node:fs/promises'
import type { Log } from '../api/engine-options.ts'
import type { Calibration } from '../core/sampling/calibration.ts'

/**
 * Reads a JSON file that incipit derived from a model. Such files are a cache: one that does not exist, cannot be read or
 * has not the expected shape (an older version wrote it, or a crash cut it short) is absent, the latter with a word.
 * @param isSound whether the content has the expected shape
 */
export async function readDerived<T>(
  path: string,
  isSound: (value: Record<string, unknown>) => boolean,
  log: Log,
): Promise<T | undefined> {
  let why = 'it has another shape than this version of incipit writes'
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof value === 'object' && value !== null && isSound(value as Record<string, unknown>)) return value as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    why = (error as Error).message
  }
  log('warn', `${path} is not used: ${why}`)
  return undefined
}

/** Writes a JSON file whole: to a temporary name, then renamed. */
export async function writeDerived(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`)
  await rename(temporary, path)
}

export function isCalibration(value: unknown): value is Calibration {
  const { from, survival } = (value ?? {}) as Partial<Record<keyof Calibration, unknown>>
  return isNumbers(from) && isNumbers(survival) && from.length === survival.length
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'number' && Number.isFinite(one))
}
