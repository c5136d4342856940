import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loaded, missing, prelude, stories } from './models.ts'
import { type Chunk, serve } from './serve.ts'

const code = loaded(prelude, { cut: 'none' })
const tiny = loaded(stories)

const body = { prompt: 'function add(a, b) {\n', suffix: '\n}\n', max_tokens: 8, temperature: 0 }

test('a suffix goes between the tokens of the model, in its order', async (t) => {
  const server = await serve(t, code())
  const { fim } = code().info
  assert.equal(fim?.order, 'spm')
  const prompt = [fim.begin!, fim.suffix, body.suffix, fim.prefix, body.prompt, fim.middle!]
  let expected = ''
  for await (const event of code().generate({ prompt, maxTokens: 8 })) {
    if (event.type === 'delta') expected += event.text
  }
  const filled = (await (await server.post('/v1/completions', body)).json()) as Chunk
  assert.equal(filled.choices[0]!.text, expected)
  const plain = (await (await server.post('/v1/completions', { ...body, suffix: '' })).json()) as Chunk
  assert.notEqual(plain.choices[0]!.text, expected)
})

test('an editor that writes the tokens of the model as text gets the same, the next keystroke from warm state', async (t) => {
  const server = await serve(t, code())
  const ask = async (before: string) => {
    const prompt = `<|fim_suffix|>${body.suffix}<|fim_prefix|>${before}<|fim_middle|>`
    return (await (await server.post('/v1/completions', { ...body, prompt, suffix: null })).json()) as Chunk
  }
  const filled = (await (await server.post('/v1/completions', body)).json()) as Chunk
  assert.equal((await ask(body.prompt)).choices[0]!.text, filled.choices[0]!.text)
  const { usage } = await ask(`${body.prompt}  return`)
  const { cached_tokens: cached } = usage!.prompt_tokens_details as { cached_tokens: number }
  assert.ok(cached >= Number(usage!.prompt_tokens) - 5, JSON.stringify(usage))
})

test('what a prefill computed with a suffix is there', async (t) => {
  const server = await serve(t, code())
  const prompt = `${body.prompt}  // prefilled\n  const sum = a + b\n`
  await server.post('/v1/prefill', { ...body, prompt })
  const { usage } = (await (await server.post('/v1/completions', { ...body, prompt })).json()) as Chunk
  const { cached_tokens: cached } = usage!.prompt_tokens_details as { cached_tokens: number }
  assert.ok(cached >= Number(usage!.prompt_tokens) - 2, JSON.stringify(usage))
})

test('a model without such tokens refuses it by name', { skip: missing(stories) }, async (t) => {
  const server = await serve(t, tiny())
  const answer = await server.post('/v1/completions', body)
  assert.equal(answer.status, 400)
  const { error } = (await answer.json()) as Chunk
  assert.deepEqual([error?.code, error?.param], ['unsupported', 'suffix'])
})
