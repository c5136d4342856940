import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { defaultCacheDir } from '../src/gguf/index.ts'
import { full } from './fixtures/test-size.ts'

// The pipeline that makes the embedded model, end to end on this repository's own files: it cannot rot unseen. Its
// Python packages are installed once, into the cache folder; where that cannot be done the test says why and is skipped.

const training = fileURLToPath(new URL('../../../training', import.meta.url))
const command = promisify(execFile)

/** Why the pipeline cannot run on this machine. */
class Unavailable extends Error {}

async function attempt(what: string, file: string, args: readonly string[], timeout: number): Promise<string> {
  try {
    return (await command(file, args, { timeout, killSignal: 'SIGKILL' })).stdout
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    const reason = stderr?.trim().split('\n').at(-1) || message
    throw new Unavailable(`${what}: ${reason}`, { cause: error })
  }
}

/** A Python with the packages of requirements.lock. */
async function pythonWithPackages(): Promise<string> {
  const lock = join(training, 'requirements.lock')
  const name = createHash('sha256').update(readFileSync(lock)).digest('hex').slice(0, 16)
  const folder = join(defaultCacheDir(), 'training', name)
  const python = (parent: string) => join(parent, 'bin', 'python')
  if (existsSync(python(folder))) return python(folder)

  const version = await attempt('no python3', 'python3', ['-c', 'import sys; print(*sys.version_info[:2])'], 20_000)
  const [major = 0, minor = 0] = version.trim().split(' ').map(Number)
  if (major !== 3 || minor < 11) throw new Unavailable(`python3 is ${major}.${minor}; the pipeline needs 3.11 or later`)

  const part = `${folder}.${randomUUID()}.part`
  await mkdir(dirname(folder), { recursive: true })
  try {
    await attempt('python3 cannot make a virtual environment', 'python3', ['-m', 'venv', part], 120_000)
    const install = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check']
    const limits = ['--timeout', '20', '--retries', '1']
    await attempt('pip cannot install its packages', python(part), [...install, ...limits, '-r', lock], 300_000)
    // Another run of the tests may have been first.
    await rename(part, folder).catch((error) => {
      if (!existsSync(python(folder))) throw error
    })
  } finally {
    await rm(part, { recursive: true, force: true })
  }
  return python(folder)
}

/** The folder of llama.cpp's libraries, or undefined where no package has them. */
function librariesOfLlama(): string | undefined {
  const platform = `${process.platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(`@node-llama-cpp/${platform}`)
    return join(dirname(entry), '..', 'bins', platform)
  } catch {
    return undefined
  }
}

// A minute each, and packages to install on a new machine: for the long run.
if (full) {
  const runs = [
    [
      'prelude.smoke',
      'corpus, tokeniser, training, evaluation and export run',
      /^smoke: ok in \d+ s; loss [\d.]+ -> [\d.]+/m,
    ],
    [
      'accelerator.rehearse',
      'carried files alone train, stop, go on and come back',
      /^rehearsal: ok in \d+ s; \d+ loads/m,
    ],
  ] as const
  for (const [module, what, said] of runs) {
    test(`${module}: ${what}, and llama.cpp computes the same`, async (t) => {
      if (process.platform === 'win32') return t.skip(`${module} needs Linux or macOS`)
      let python: string
      try {
        python = await pythonWithPackages()
      } catch (error) {
        if (error instanceof Unavailable) return t.skip(`${module} did not run: ${error.message}`)
        throw error
      }
      const llama = process.platform === 'linux' ? librariesOfLlama() : undefined
      const args = ['-m', module, ...(llama === undefined ? [] : ['--llama', llama])]
      const { stdout } = await command(python, args, { cwd: training, timeout: 400_000, killSignal: 'SIGKILL' })
      assert.match(stdout, said)
      if (llama === undefined) t.diagnostic('not compared with llama.cpp: no libraries for this platform')
      else assert.match(stdout, /llama\.cpp compared$/m)
    })
  }
}
