import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { prelude } from '../../engine/test/fixtures/prelude.ts'
import { Editor, whenFull } from './editor.ts'

// Engines that editors share, that are found, that crash, and that leave.

const incipit = fileURLToPath(new URL('../../incipit/src/main.ts', import.meta.url))
const text =
  'export function sum(values: readonly number[]): number {\n  let total = 0\n  const next = \n  return total\n}\n'
const at = text.indexOf('next = ') + 'next = '.length
const uri = 'file:///sum.ts'

let cache: string
before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'incipit-sharing-'))
})
after(async () => {
  // They write what they learnt when they leave.
  await until(() => hosts().length === 0)
  await rm(cache, { recursive: true, force: true, maxRetries: 5 })
})

async function start(settings: Readonly<Record<string, unknown>> = {}): Promise<Editor> {
  const all = { minAcceptance: 0, patienceMs: 10_000, maxTokens: 24, threads: 1, model: prelude, ...settings }
  const editor = await Editor.start({ settings: all, env: { INCIPIT_CACHE: cache } })
  await editor.until('ready')
  await editor.open(uri, text)
  return editor
}

/** What is shown at the cursor to somebody who asks: however little it is. */
function shown(editor: Editor): Promise<string> {
  return editor.ghost(uri, at, { invoked: true })
}

interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

function processes(): Process[] {
  return execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, pid, parent, command]) => ({ pid: Number(pid), parent: Number(parent), command: command! }))
}

const hosts = () => processes().filter(({ pid, command }) => command.includes('lsp --host') && isOurs(pid))

/** Whether a process works in this test's cache; others may run the same test. */
function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(cache)
  } catch {
    return false
  }
}

const childrenOf = (pid: number) => processes().filter(({ parent }) => parent === pid)

async function until<T>(what: () => T | undefined | false): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const found = what()
    if (found) return found
    await sleep(50)
  }
  throw new Error('it never came to that')
}

test('two editors share one engine, which leaves after the last one', { skip: whenFull }, async () => {
  await using first = await start()
  await using second = await start()
  const ghost = await shown(first)
  assert.notEqual(ghost, '')
  assert.equal(await shown(second), ghost)
  const [host, ...others] = hosts()
  assert.ok(host)
  assert.deepEqual(others, [])
  await first.quit()
  assert.equal(await shown(second), ghost, 'the one who started it is gone, it is not')
  await second.quit()
  await until(() => hosts().length === 0)
})

test('the process that has the engine is killed: another one takes its place', { skip: whenFull }, async () => {
  await using editor = await start()
  assert.notEqual(await shown(editor), '')
  const [host] = hosts()
  const before = editor.statuses.length
  process.kill(host!.pid, 'SIGKILL')
  await until(() => editor.statuses.slice(before).some(({ state }) => state === 'loading'))
  await editor.until('ready')
  assert.notEqual(await shown(editor), '', JSON.stringify([editor.statuses, await editor.trace()]))
})

test('an incipit serve of the same model is found by its socket', { skip: whenFull }, async (t) => {
  await until(() => hosts().length === 0)
  const args = [incipit, 'serve', '--model', prelude, '--port', '0', '--threads', '1', '--cut', 'none']
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, INCIPIT_CACHE: cache },
  })
  t.after(() => child.kill('SIGTERM'))
  let said = ''
  while (!said.includes('serves on')) said += String((await once(child.stdout, 'data'))[0])
  await using editor = await start()
  assert.notEqual(await shown(editor), '')
  assert.deepEqual(hosts(), [], 'no engine of its own')
})

test('the engine crashes in a request: nobody sees more than a missing suggestion', { skip: whenFull }, async () => {
  await using editor = await start({ share: false })
  const ghost = await shown(editor)
  const [engine] = childrenOf(editor.process.pid!)
  const cursor = await editor.type(uri, at, 'zz')
  const asked = editor.ghost(uri, cursor)
  process.kill(engine!.pid, 'SIGKILL')
  assert.equal(typeof (await asked), 'string')
  await editor.edit(uri, at, cursor, '')
  assert.equal(await shown(editor), ghost)
  const again = await editor.type(uri, at, 'yy')
  assert.notEqual(await editor.ghost(uri, again, { invoked: true }), '', 'the engine is there again')
})
