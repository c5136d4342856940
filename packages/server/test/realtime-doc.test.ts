import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { clientEvents } from '../src/realtime/client-events.ts'
import { sessionParameters } from '../src/realtime/session-parameters.ts'
import { defaultSettings } from '../src/realtime/settings.ts'
import { defaultBounds } from '../src/socket/bounds.ts'
import { assertSays, chatModel, loaded, missing } from './models.ts'
import { serve } from './serve.ts'

const page = readFileSync(new URL('../../../docs/realtime.md', import.meta.url), 'utf8')
const engine = loaded(chatModel, { contextLength: 512 })

test('docs/realtime.md names every client event, setting and option', () => {
  const names = [
    ...Object.keys(clientEvents).map((type) => `\`${type}`),
    ...Object.keys(defaultSettings).map((name) => `\`${name}\``),
    ...Object.keys(defaultBounds).map((name) => `\`realtime.${name}\``),
  ]
  assert.deepEqual(
    names.filter((name) => !page.includes(name)),
    [],
  )
})

test('every setting can be set', () => {
  const parameters = Object.keys(sessionParameters.shape)
  assert.deepEqual(
    Object.keys(defaultSettings).filter((name) => !parameters.includes(name)),
    [],
  )
})

test('the script of docs/realtime.md runs as it is printed', {
  skip: missing(chatModel),
  timeout: 120_000,
}, async (t) => {
  const { url } = await serve(t, engine())
  const [, script] = /```js\n(\/\/ node typing[\s\S]*?)```/.exec(page)!
  const printed: string[] = []
  const closed = Promise.withResolvers<void>()
  class Socket extends WebSocket {
    constructor(address: string) {
      super(address.replace('ws://127.0.0.1:8080', url.replace('http', 'ws')))
      this.addEventListener('close', () => closed.resolve())
    }
  }
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as FunctionConstructor
  const run = new AsyncFunction('WebSocket', 'process', 'console', script!)
  const print = (...parts: unknown[]) => void printed.push(parts.join(' '))
  await run(Socket, { stdout: { write: print } }, { log: print, error: print })
  await closed.promise
  assertSays(printed.join(''), /^The opposite of hot is cold/)
  assert.match(printed.join(''), /^.+%s tokens were ready, first text after %s ms \d+ \d/s)
})
