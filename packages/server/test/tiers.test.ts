import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loaded, missing, stories } from './models.ts'
import { type Chunk, type Served, serve } from './serve.ts'

const options = { skip: missing(stories), timeout: 60_000 }
const engine = loaded(stories, { contextLength: 256 })

/** A text that repeats itself, so that there is something to draft. */
const body = {
  prompt: 'Once upon a time there was a cat. Once upon a time there was a cat. Once upon a time there',
  temperature: 0,
  max_tokens: 20,
  cache_prompt: false,
}

async function complete(server: Served, over: object): Promise<{ text: string; drafted: number }> {
  const answer = await server.post('/v1/completions', { ...body, ...over })
  assert.equal(answer.status, 200)
  const { choices, timings } = (await answer.json()) as Chunk
  return { text: choices[0]!.text!, drafted: timings!.drafted_n! }
}

/** Drafts only while they seem to pay, which the load of the machine decides from run to run: some of several do. */
async function drafts(server: Served, over: object): Promise<boolean> {
  const { text } = await complete(server, { speculate: false })
  for (let i = 0; i < 20; i++) {
    const tried = await complete(server, over)
    assert.equal(tried.text, text)
    if (tried.drafted > 0) return true
  }
  return false
}

test('nothing is drafted for the tier batch, however it is asked for', options, async (t) => {
  const server = await serve(t, engine())
  assert.equal(await drafts(server, {}), true)
  assert.equal(await drafts(server, { tier: 'batch' }), false)
  assert.equal(await drafts(server, { service_tier: 'flex' }), false)
  assert.equal(await drafts(server, { service_tier: 'flex', tier: 'code' }), true)
})

test('the server has a tier for requests that name none', options, async (t) => {
  const server = await serve(t, engine(), { tier: 'batch' })
  assert.equal(await drafts(server, {}), false)
  assert.equal(await drafts(server, { tier: 'npc' }), true)
})
