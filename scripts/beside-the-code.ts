import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

// The tests that stand beside the code run in one process, which begins once and not a hundred and thirty times: this file
// imports them. Those with a `before` or an `after` of their own, which would be everybody's here, have one for themselves.

const root = join(import.meta.dirname, '..')

export function besideTheCode(): string[] {
  return globSync('packages/*/src/**/*.test.ts', { cwd: root, exclude: ['**/node_modules/**'] })
    .filter((file) => !/^(before|after)(Each)?\(/m.test(readFileSync(join(root, file), 'utf8')))
    .sort()
}

if (import.meta.main) for (const file of besideTheCode()) await import(join(root, file))
