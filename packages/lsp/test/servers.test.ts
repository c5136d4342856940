import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { prelude } from '../../engine/test/fixtures/prelude.ts'
import { Editor, whenFull } from './editor.ts'

// The same completions from servers that run already: a real incipit, and llama.cpp's where one is named.

const incipit = fileURLToPath(new URL('../../incipit/src/main.ts', import.meta.url))
const llamaServer = process.env.INCIPIT_LLAMA_SERVER ?? ''
const skip = existsSync(llamaServer) ? false : 'INCIPIT_LLAMA_SERVER names no llama-server'

const settings = { minAcceptance: 0, patienceMs: 10_000, contextTokens: 512, maxTokens: 24 }
const text =
  'export function sum(values: readonly number[]): number {\n  let total = 0\n  const next = \n  return total\n}\n'
const at = text.indexOf('next = ') + 'next = '.length
const uri = 'file:///sum.ts'

let cache: string
before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'incipit-servers-'))
})
after(() => rm(cache, { recursive: true }))

/** What an editor is shown with these settings, with the middle of the file known. */
async function ghost(more: Readonly<Record<string, unknown>>): Promise<string> {
  const env = { INCIPIT_CACHE: cache, INCIPIT_MODEL: '' }
  await using editor = await Editor.start({ settings: { ...settings, ...more }, env })
  await editor.until('ready')
  await editor.open(uri, text)
  const first = await editor.ghost(uri, at)
  // Typed through here, too, and cancelled without harm.
  const cursor = await editor.type(uri, at, first.slice(0, 1))
  assert.equal(await editor.ghost(uri, cursor), first.slice(1))
  return first
}

async function until(url: string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const there = await fetch(url).then(
      async (response) => {
        await response.body?.cancel()
        return response.ok
      },
      () => false,
    )
    if (there) return
    await sleep(100)
  }
  throw new Error(`${url} does not answer`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}

test('a running incipit, known by itself', { skip: whenFull }, async (t) => {
  const port = await freePort()
  const args = [incipit, 'serve', '--model', prelude, '--port', `${port}`, '--threads', '1', '--cut', 'none']
  const child = spawn(process.execPath, args, { stdio: 'ignore', env: { ...process.env, INCIPIT_CACHE: cache } })
  t.after(() => end(child))
  const server = `http://127.0.0.1:${port}`
  await until(`${server}/health`)
  const shown = await ghost({ server })
  assert.ok(shown.length > 1, shown)
  // A different spelling of the address, and what OpenAI's clients would ask.
  assert.equal(await ghost({ server: `${server}/v1/`, serverType: 'incipit' }), shown)
})

test('llama.cpp: /infill, known by itself, and its /v1/completions with the prompt as text', { skip }, async (t) => {
  const port = await freePort()
  const args = ['-m', prelude, '--port', `${port}`, '-t', '1', '--spm-infill', '-c', '1024']
  const child = spawn(llamaServer, args, { stdio: 'ignore' })
  t.after(() => end(child))
  const server = `http://127.0.0.1:${port}`
  await until(`${server}/health`)
  assert.ok((await ghost({ server })).length > 1)
  assert.ok((await ghost({ server, serverType: 'openai' })).length > 1)
})

test('a server that is not there is said', async () => {
  const server = `http://127.0.0.1:${await freePort()}`
  await using editor = await Editor.start({ settings: { ...settings, server } })
  const { message } = await editor.until('failed')
  assert.match(message!, /does not answer: .*ECONNREFUSED/)
})
