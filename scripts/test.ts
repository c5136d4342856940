import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { filesOf, groupNames } from './together.ts'

// `npm test`: format and lint, types, unused code, then every test file, in under five minutes: random tests run a part of
// their cases, comparisons a part of their prompts. `--full` (`npm run test:full`) runs all of them. `--check-only` stops
// before the tests; further arguments name test files.

const root = join(import.meta.dirname, '..')
const bin = (name: string) => join(root, 'node_modules', '.bin', name)

/** What the compiler found is kept, so that the next time it looks at what has changed. */
const rememberedAs = (name: string) => [
  '--incremental',
  '--tsBuildInfoFile',
  join(root, `node_modules/.cache/${name}.tsbuildinfo`),
]

/** Runs a command and, where it fails, makes an end of this one when the others that run beside it are over. */
async function run(title: string, command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' })
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.on('error', reject).on('exit', resolve)
  const status = await promise
  if (status === 0) return
  console.error(`\n${title} failed`)
  process.exitCode = status ?? 1
}

/** All files, those first that take longest, so that no core is idle while the last one ends. */
function tests(): string[] {
  const together = groupNames.flatMap(filesOf)
  const all = globSync('{packages,editors}/*/{src,test}/**/*.test.ts', { cwd: root, exclude: ['**/node_modules/**'] })
  const own = all.filter((file) => !together.includes(file)).sort()
  const long = [
    ...groupNames.map((name) => `scripts/together/${name}.ts`),
    'packages/engine/test/equality.test.ts',
    'packages/engine/test/prelude-pipeline.test.ts',
    'packages/engine/test/equality-layouts.test.ts',
    'packages/engine/test/spawned-engine.test.ts',
    'packages/incipit/test/run.test.ts',
    'packages/incipit/test/serve.test.ts',
    'packages/engine/test/architectures.test.ts',
  ]
  return [...long, ...own.filter((file) => !long.includes(file))]
}

const args = process.argv.slice(2)
if (args.includes('--full')) process.env.INCIPIT_TEST = 'full'
const files = args.filter((arg) => !arg.startsWith('--'))

if (files.length === 0) {
  await Promise.all([
    run('biome', bin('biome'), ['check', '--error-on-warnings']),
    run('tsc', bin('tsc'), ['-p', '.', ...rememberedAs('workspace')]),
    run('tsc of the page', bin('tsc'), ['-p', 'packages/playground', ...rememberedAs('page')]),
    run('knip', bin('knip'), []),
  ])
}
if (!args.includes('--check-only') && !process.exitCode) {
  // On two cores two at a time: native compute threads wait by spinning, more files at once slow each other down. A short run
  // has more files that wait for something else: one more fills the cores.
  const atOnce = args.includes('--full') ? 2 : 3
  const options = ['--test', `--test-concurrency=${atOnce}`, '--test-timeout=600000']
  await run('tests', process.execPath, [...options, ...(files.length > 0 ? files : tests())])
}
