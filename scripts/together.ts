import { globSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'node:test'

// Test files that run in one process, which begins once and not two hundred times. Each is a suite, so that its `before`
// and `after` are its own. `node --test scripts/together/NAME.ts` runs such a group; any of its files runs alone as well.

const root = join(import.meta.dirname, '..')

/** The groups, by the name of the file that runs them. */
const groups = {
  'beside-the-code': 'packages/*/src/**/*.test.ts',
  // Two that take as long: one would still run when all other files are over.
  'server-a-to-q': 'packages/server/test/[a-q]*.test.ts',
  'server-r-to-z': 'packages/server/test/[r-z]*.test.ts',
}

export type Group = keyof typeof groups

/** The groups' names, those first that take longest. */
export const groupNames: readonly Group[] = ['server-r-to-z', 'server-a-to-q', 'beside-the-code']

/** @returns the test files of a group, from the root of the repository */
export function filesOf(group: Group): string[] {
  return globSync(groups[group], { cwd: root, exclude: ['**/node_modules/**'] }).sort()
}

export function runTogether(group: Group): void {
  // One that never ends is named, and does not take the others with it.
  const timeout = process.env.INCIPIT_TEST === 'full' ? 600_000 : 180_000
  for (const file of filesOf(group)) suite(file, { timeout }, () => import(join(root, file)))
}
