import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine, type EngineOptions } from '@incipit/engine'
import { type Changes, writeAltered } from '../../engine/test/fixtures/altered.ts'
import { storiesTemplate } from '../../engine/test/fixtures/chat-stories.ts'
import { full } from '../../engine/test/fixtures/test-size.ts'

export { prelude } from '../../engine/test/fixtures/prelude.ts'

export { full }

const store = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../shared/models', import.meta.url))

/** For the `skip` option of a test that takes long. */
export const onlyFull: string | false = full ? false : 'npm run test:full has it'

/** A file of the store that is altered when it is loaded. */
export interface Altered extends Changes {
  readonly from: string
}

/** A model by its file in the store, or made of such a file. */
export type TestModel = string | Altered

/** A chat model of 135 million parameters: about ten milliseconds a token. */
export const smol = 'SmolLM2-135M-Instruct.Q4_1.gguf'

/** The first four layers of {@link smol}: its tokens and its template in a third of its time. It writes nonsense. */
export const shallow: Altered = { from: smol, layers: 4 }

/** For what holds whatever is said: {@link smol}, in a short run {@link shallow}. */
export const chatModel: Altered = full ? { from: smol } : shallow

/** A model of 260 thousand parameters without a chat template: under a millisecond a token. */
export const stories = 'stories260K.gguf'

/** {@link stories} with a chat template. */
export const chatStories: Altered = { from: stories, template: storiesTemplate }

/** Where a file of the store is. */
export function pathOf(model: string): string {
  return resolve(store, model)
}

/** For the `skip` option of a test: false, or what is missing and how to provide it. */
export function missing(model: TestModel): string | false {
  const path = pathOf(typeof model === 'string' ? model : model.from)
  return existsSync(path) ? false : `${path} is missing: set INCIPIT_MODELS to a folder that has it`
}

/**
 * A user's message of more than 200 tokens: long enough that the engine looks ahead, so that something provisional is
 * sure to be shown.
 */
export const longMessage = `${'The old man sat by the river and watched the boats go by. '.repeat(16)}What did the old man watch?`

/** The greedy reply of eight tokens to {@link longMessage} that the engine gives when it is asked directly, from a cold start. */
export function longReply(engine: Engine): Promise<string> {
  let reply = longReplies.get(engine)
  reply ??= (async () => {
    let text = ''
    const messages = [{ role: 'user', content: longMessage }]
    for await (const event of engine.generate({ messages, maxTokens: 8, cachePrompt: false }))
      if (event.type === 'delta') text += event.text
    return text
  })()
  longReplies.set(engine, reply)
  return reply
}
const longReplies = new WeakMap<Engine, Promise<string>>()

/** Where a model is: in the store, or where something is altered at `path`, where it is written. */
export async function written(model: TestModel, path: string): Promise<string> {
  const { from, ...changes } = typeof model === 'string' ? { from: model } : model
  if (Object.keys(changes).length === 0) return pathOf(from)
  await writeAltered(pathOf(from), path, changes)
  return path
}

/** Loads a model before the tests of this file and closes it after them. It knows nothing of earlier runs. */
export function loaded(model: TestModel, options: EngineOptions = {}): () => Engine {
  let engine: Engine | undefined
  let cacheDir: string
  before(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'incipit-server-'))
    if (missing(model)) return
    // One thread: several test files run at once, and threads that wait for each other on a busy machine wait long.
    engine = await Engine.load(await written(model, join(cacheDir, 'altered.gguf')), {
      threads: 1,
      cacheDir,
      ...options,
    })
  })
  after(async () => {
    await engine?.close()
    await rm(cacheDir, { recursive: true, force: true })
  })
  return () => {
    if (engine === undefined) throw new Error('the model is not loaded')
    return engine
  }
}

/** Asserts what only a model that makes sense says. {@link chatModel} is one in the whole run; here it says something. */
export function assertSays(text: string, expected: RegExp): void {
  assert.match(text, full ? expected : /./)
}

/** Waits until nothing runs or waits in the engine. Rejects after `limit` milliseconds. Returns how long it took. */
export async function settled(engine: Engine, limit = 5000): Promise<number> {
  const begin = performance.now()
  for (;;) {
    const { running, waiting } = engine.stats()
    const elapsed = performance.now() - begin
    if (running === 0 && waiting === 0) return elapsed
    if (elapsed > limit) throw new Error(`${running} running and ${waiting} waiting after ${limit} ms`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/**
 * Nothing runs, nothing waits, no row is held, and the caches agree. A client that has closed its socket may be a moment
 * ahead of the server, which is waited for.
 */
export async function assertFree(engine: Engine): Promise<void> {
  await settled(engine)
  for (let tries = 0; tries < 500 && engine.stats().cellsUsed > 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await engine.idle()
  assert.equal(engine.stats().cellsUsed, 0)
  assert.deepEqual(engine.audit(), [])
}
