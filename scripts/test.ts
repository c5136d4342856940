import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'

// `npm test`: format and lint, types, unused code, then every test file, in under five minutes: random tests run a part of
// their cases, comparisons a part of their prompts. `--full` (`npm run test:full`) runs all of them. `--check-only` stops
// before the tests; further arguments name test files.

const root = join(import.meta.dirname, '..')
const bin = (name: string) => join(root, 'node_modules', '.bin', name)

function run(title: string, command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) {
    console.error(`\n${title} failed`)
    process.exit(status ?? 1)
  }
}

/** The files that take longest begin, so that no core is idle while the last one ends. */
function longFirst(tests: readonly string[]): string[] {
  const long = [
    'engine/test/equality',
    'engine/test/prelude-pipeline',
    'engine/test/equality-layouts',
    'engine/test/spawned-engine',
    'incipit/test/run',
  ]
  const place = (test: string) => long.findIndex((name) => test === `packages/${name}.test.ts`)
  const first = tests.filter((test) => place(test) >= 0).sort((a, b) => place(a) - place(b))
  return [...first, ...tests.filter((test) => place(test) < 0).sort()]
}

const args = process.argv.slice(2)
if (args.includes('--full')) process.env.INCIPIT_TEST = 'full'
const files = args.filter((arg) => !arg.startsWith('--'))

if (files.length === 0) {
  run('biome', bin('biome'), ['check', '--error-on-warnings'])
  run('tsc', bin('tsc'), ['-p', '.'])
  run('tsc of the page', bin('tsc'), ['-p', 'packages/playground'])
  run('knip', bin('knip'), [])
}
if (!args.includes('--check-only')) {
  const tests =
    files.length > 0
      ? files
      : longFirst(
          globSync('{packages,editors}/*/{src,test}/**/*.test.ts', { cwd: root, exclude: ['**/node_modules/**'] }),
        )
  // Two at a time on two cores: native compute threads wait by spinning, more files at once only slow each other down.
  run('tests', process.execPath, ['--test', '--test-concurrency=2', '--test-timeout=600000', ...tests])
}
