import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A folder that is removed after the test. */
export async function temporary(test: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'incipit-test-'))
  test.after(() => rm(path, { recursive: true, force: true }))
  return path
}
