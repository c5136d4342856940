import { readFile } from 'node:fs/promises'
import { UsageError } from './failure.ts'

/**
 * The text of a file that an option names.
 *
 * @param what the file is, for the message
 * @throws UsageError when it cannot be read
 */
export async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new UsageError(`the ${what} file cannot be read: ${(cause as Error).message}`)
  }
}
