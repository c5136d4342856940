import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { cpuVariants } from '../packages/engine/src/llama/cpu-variants.ts'
import { library } from '../packages/engine/src/llama/library.ts'
import { copyWithVariant } from '../packages/engine/test/fixtures/cpu-variants.ts'

// `npm run test:variants [VARIANT...]`: the tests that compare what llama.cpp computes, with its kernels for other CPUs
// than this one. Default: the variant that runs everywhere, and that of machines without AVX-512.

const root = join(import.meta.dirname, '../packages/engine')
// The longest first.
const files = [
  'src/runtime/load/draft-model.test.ts',
  'src/llama/context.test.ts',
  'src/llama/sequence-file.test.ts',
  'test/drafters.test.ts',
  'test/architectures.test.ts',
  'src/runtime/load/mtp.test.ts',
  'test/staged.test.ts',
  'test/logprobs.test.ts',
  'src/llama/shared-rows.test.ts',
  'src/runtime/stage-draft-runner.test.ts',
  'src/llama/quantize.test.ts',
].map((file) => join(root, file))

interface Summary {
  tests: number
  failed: number
  skipped: number
}

const { directory } = library().place
const known = cpuVariants(directory)
const runnable = known.filter(({ score }) => score > 0).map(({ name }) => name)
const wanted = process.argv.slice(2)
if (wanted.length === 0) {
  const usual = ['haswell', 'sandybridge'].find((name) => runnable.includes(name))
  wanted.push(...new Set([...runnable.slice(0, 1), ...(usual ? [usual] : [])]))
}
for (const variant of wanted) {
  if (runnable.includes(variant)) continue
  const exists = known.some(({ name }) => name === variant)
  console.error(
    `${exists ? `this CPU cannot run the variant '${variant}'` : `there is no variant '${variant}' in ${directory}`}; ` +
      `it can run: ${runnable.join(', ') || 'none'}`,
  )
  process.exit(1)
}

const folders = mkdtempSync(join(tmpdir(), 'incipit-variants-'))
process.once('exit', () => rmSync(folders, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

for (const variant of wanted) {
  const folder = mkdtempSync(join(folders, `${variant}-`))
  copyWithVariant(directory, folder, variant)
  process.env.INCIPIT_LLAMA_LIB = folder
  const start = performance.now()
  const { tests, failed, skipped } = await testAll()
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  console.log(`${variant}: ${tests} tests, ${failed} failed, ${skipped} skipped, ${seconds} s`)
  if (failed > 0) process.exitCode = 1
}

/** Runs the test files, two at a time, and tells what fails. */
function testAll(): Promise<Summary> {
  return new Promise((resolve, reject) => {
    const stream = run({ files, concurrency: 2, timeout: 600_000 })
    stream.on('test:fail', ({ name, file, line, details }) => {
      console.log(`✖ ${name} (${file}:${line})\n${details.error.cause ?? details.error}`)
    })
    stream.on('test:summary', ({ file, counts }) => {
      // Of all files together.
      if (file === undefined)
        resolve({ ...counts, failed: counts.tests - counts.passed - counts.skipped - counts.todo })
    })
    stream.on('error', reject)
    stream.resume()
  })
}
