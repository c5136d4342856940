import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { delta, done, fakeEngine } from './fake-engine.ts'
import { loaded, missing, settled, stories } from './models.ts'
import { type Chunk, chunks, committed, serve } from './serve.ts'

const skip = missing(stories)
const engine = loaded(stories, { contextLength: 256, cells: 1024, parallel: 4 })

test('twenty requests at once are all answered in full', { skip }, async (t) => {
  const server = await serve(t, engine())
  const lengths = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const body = { prompt: `Once upon a time, ${i} little birds`, temperature: 0.5, seed: i, max_tokens: 10 + i }
      if (i % 2 === 0) {
        const answer = await server.post('/v1/completions', body)
        assert.equal(answer.status, 200)
        return ((await answer.json()) as Chunk).usage
      }
      const options = { include_usage: true, include_provisional: i % 4 === 1, min_stability: 0 }
      const all = await chunks(await server.post('/v1/completions', { ...body, stream: true, stream_options: options }))
      assert.ok(committed(all).length > 0)
      return all.at(-1)!.usage
    }),
  )
  assert.deepEqual(
    lengths.map((usage) => usage?.completion_tokens),
    Array.from({ length: 20 }, (_, i) => 10 + i),
  )
  await settled(engine(), 0)
})

test('replies of requests that run together do not mix', async (t) => {
  const echo = fakeEngine(async function* ({ prompt }) {
    for (const word of String(prompt).split(' ')) {
      await sleep(Math.random() * 3)
      yield delta(`${word} `)
    }
    yield done()
  })
  const server = await serve(t, echo)
  const ask = async (i: number) => {
    const prompt = Array(20).fill(`word${i}`).join(' ')
    const answer = await server.post('/v1/completions', { prompt, stream: i % 2 === 0 })
    const text = i % 2 === 0 ? committed(await chunks(answer)) : committed([(await answer.json()) as Chunk])
    assert.equal(text, `${prompt} `)
  }
  await Promise.all(Array.from({ length: 20 }, (_, i) => ask(i)))
})
