import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporary } from './helpers/temporary.ts'

const scripts = fileURLToPath(new URL('../../../scripts', import.meta.url))

/** An npm that writes down how it was called and installs nothing but `node`, unless the variable FAIL says otherwise. */
const fakeNpm = `
const { appendFileSync, mkdirSync, symlinkSync, copyFileSync } = require('node:fs')
const args = process.argv.slice(2)
appendFileSync('npm-calls', args.slice(0, 2).join(' ') + '\\n')
if (process.env.FAIL === 'network') { process.stderr.write('npm error code ENOTFOUND\\n'); process.exit(1) }
if (process.env.FAIL === 'lock' && args[0] === 'ci') { process.stderr.write('npm error code EUSAGE\\n'); process.exit(1) }
mkdirSync('node_modules/node/bin', { recursive: true })
try { symlinkSync(process.execPath, 'node_modules/node/bin/node') } catch {}
copyFileSync('package-lock.json', 'node_modules/.package-lock.json')
`

const lock = (version: string) => JSON.stringify({ packages: { 'node_modules/a': { version } } })

/** A project of its own with our two scripts. */
async function project(test: TestContext) {
  const root = await temporary(test)
  await mkdir(join(root, 'scripts'))
  for (const name of ['setup.mjs', 'run.mjs']) await cp(join(scripts, name), join(root, 'scripts', name))
  await writeFile(join(root, 'package-lock.json'), lock('1'))
  await writeFile(join(root, 'npm-cli.cjs'), fakeNpm)
  await writeFile(join(root, 'show.mjs'), 'console.log(process.argv.slice(2).join("|")); process.exit(7)')
  const start = (args: string[], env: NodeJS.ProcessEnv = {}) => {
    const npm = { npm_execpath: join(root, 'npm-cli.cjs') }
    const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...npm, ...env } })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (text) => (output.stdout += text))
    child.stderr.on('data', (text) => (output.stderr += text))
    return { child, output, ended: once(child, 'close').then(([code]) => ({ code: code as number, ...output })) }
  }
  const run = (args: string[], env?: NodeJS.ProcessEnv) => start(args, env).ended
  const calls = () => readFile(join(root, 'npm-calls'), 'utf8').catch(() => '')
  return { root, run, start, calls, setup: (env?: NodeJS.ProcessEnv) => run(['scripts/setup.mjs'], env) }
}

describe('scripts/setup.mjs', () => {
  it('installs once, says so in a line, and then ends at once', async (test) => {
    const { setup, calls } = await project(test)
    const first = await setup()
    assert.equal(first.code, 0)
    assert.match(first.stderr, /^incipit: first start: installing dependencies.*\n$/)
    const second = await setup()
    assert.deepEqual([second.code, second.stderr], [0, ''])
    assert.equal(await calls(), 'ci --no-audit\n')
  })

  it('installs again when package-lock.json changed or node_modules is gone', async (test) => {
    const { root, setup, calls } = await project(test)
    await setup()
    await writeFile(join(root, 'package-lock.json'), lock('2'))
    assert.match((await setup()).stderr, /package-lock\.json changed/)
    await rm(join(root, 'node_modules'), { recursive: true })
    assert.match((await setup()).stderr, /first start/)
    assert.equal((await calls()).split('\n').length - 1, 3)
  })

  it('takes packages that were installed by hand as they are', async (test) => {
    const { root, setup, calls } = await project(test)
    await mkdir(join(root, 'node_modules', 'node', 'bin'), { recursive: true })
    await symlink(process.execPath, join(root, 'node_modules', 'node', 'bin', 'node'))
    await writeFile(join(root, 'node_modules', '.package-lock.json'), lock('1'))
    assert.equal((await setup()).code, 0)
    assert.equal(await calls(), '')
  })

  it('installs without a complete lock file when npm ci refuses it', async (test) => {
    const { setup, calls } = await project(test)
    assert.equal((await setup({ FAIL: 'lock' })).code, 0)
    assert.equal(await calls(), 'ci --no-audit\ninstall --no-save\n')
  })

  it('shows why npm failed and what to do, and tries again the next time', async (test) => {
    const { setup } = await project(test)
    const failed = await setup({ FAIL: 'network' })
    assert.equal(failed.code, 1)
    assert.match(
      failed.stderr,
      /ENOTFOUND[\s\S]*could not be installed: npm ended with exit code 1[\s\S]*network, proxy/,
    )
    assert.equal((await setup()).code, 0)
  })

  it('lets one of two commands install while the other waits', async (test) => {
    const { setup, calls } = await project(test)
    const codes = (await Promise.all([setup(), setup()])).map(({ code }) => code)
    assert.deepEqual(codes, [0, 0])
    assert.equal(await calls(), 'ci --no-audit\n')
  })
})

describe('scripts/run.mjs', () => {
  it('installs, then runs the file with its arguments, output and exit code', async (test) => {
    const { run } = await project(test)
    const { code, stdout } = await run(['scripts/run.mjs', 'show.mjs', 'a b', '--c'])
    assert.deepEqual([code, stdout], [7, 'a b|--c\n'])
  })

  it('does not run the file when the installation failed', async (test) => {
    const { run } = await project(test)
    const { code, stdout } = await run(['scripts/run.mjs', 'show.mjs'], { FAIL: 'network' })
    assert.deepEqual([code, stdout], [1, ''])
  })

  it('passes signals on, and ends with what they did', async (test) => {
    const { root, start } = await project(test)
    await writeFile(
      join(root, 'wait.mjs'),
      `process.on('SIGTERM', () => process.exit(5)); setInterval(() => {}, 1000); console.log('ready')`,
    )
    const caught = start(['scripts/run.mjs', 'wait.mjs'])
    await once(caught.child.stdout, 'data')
    caught.child.kill('SIGTERM')
    assert.equal((await caught.ended).code, 5)
    const died = start(['scripts/run.mjs', 'wait.mjs'])
    await once(died.child.stdout, 'data')
    died.child.kill('SIGINT')
    assert.equal((await died.ended).code, 130)
  })
})
