import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine, type EngineOptions } from '@incipit/engine'
import { writeAltered } from '../../engine/test/fixtures/altered.ts'

const store = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../shared/models', import.meta.url))

/** A chat model of 135 million parameters: about ten milliseconds a token. */
export const smol = 'SmolLM2-135M-Instruct.Q4_1.gguf'

/** The first four layers of {@link smol}: its tokens and its template in a third of its time. It writes nonsense. */
export const shallow = 'SmolLM2, four layers'
export const shallowLayers = 4

/** A model of 260 thousand parameters without a chat template: under a millisecond a token. */
export const stories = 'stories260K.gguf'

/** A code model of two million parameters that comes with the repository and carries an exit; no chat template. */
export const prelude = fileURLToPath(new URL('../../../models/prelude/prelude-nano.Q8_0.gguf', import.meta.url))

/** All of the cases, as CI runs them, instead of a part. */
export const full = process.env.INCIPIT_TEST === 'full'
/** For the `skip` option of a test that takes long. */
export const onlyFull: string | false = full ? false : 'npm run test:full has it'

/** Where a model is. */
export function pathOf(model: string): string {
  return resolve(store, model)
}

/** For the `skip` option of a test: false, or what is missing and how to provide it. */
export function missing(model: string): string | false {
  const path = pathOf(model === shallow ? smol : model)
  return existsSync(path) ? false : `${path} is missing: set INCIPIT_MODELS to a folder that has it`
}

/**
 * A user's message of more than 200 tokens: long enough that the engine looks ahead, so that something provisional is
 * sure to be shown.
 */
export const longMessage = `${'The old man sat by the river and watched the boats go by. '.repeat(16)}What did the old man watch?`

/** The greedy reply of eight tokens to {@link longMessage} that the engine gives when it is asked directly, from a cold start. */
export function longReply(engine: Engine): Promise<string> {
  known ??= (async () => {
    let text = ''
    const messages = [{ role: 'user', content: longMessage }]
    for await (const event of engine.generate({ messages, maxTokens: 8, cachePrompt: false }))
      if (event.type === 'delta') text += event.text
    return text
  })()
  return known
}
let known: Promise<string> | undefined

/** Writes {@link shallow} into a folder. @returns its path */
export async function writeShallow(folder: string): Promise<string> {
  const path = join(folder, 'shallow.gguf')
  await writeAltered(pathOf(smol), path, { layers: shallowLayers })
  return path
}

/** Loads a model before the tests of this file and closes it after them. It knows nothing of earlier runs. */
export function loaded(model: string, options: EngineOptions = {}): () => Engine {
  let engine: Engine | undefined
  let cacheDir: string
  before(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'incipit-server-'))
    if (missing(model)) return
    const path = model === shallow ? await writeShallow(cacheDir) : pathOf(model)
    // One thread: several test files run at once, and threads that wait for each other on a busy machine wait long.
    engine = await Engine.load(path, { threads: 1, cacheDir, ...options })
  })
  after(async () => {
    await engine?.close()
    await rm(cacheDir, { recursive: true, force: true })
  })
  return () => {
    if (engine === undefined) throw new Error(`${model} is not loaded`)
    return engine
  }
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
