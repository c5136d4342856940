import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import OpenAI from 'openai'
import { freeRows } from '../../engine/test/costs.ts'
import { chatStories, loaded, missing } from './models.ts'
import { serve } from './serve.ts'

// Whether a guess is tried does not depend on what rows cost on this machine, and on who else uses it.
freeRows(() => 512)
const options = { skip: missing(chatStories), timeout: 120_000 }
const engine = loaded(chatStories, { contextLength: 512 })

async function client(t: TestContext): Promise<OpenAI> {
  const server = await serve(t, engine())
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
}

const request = {
  model: 'any',
  messages: [{ role: 'user' as const, content: 'List the months of the year, one per line.' }],
  temperature: 0,
  max_tokens: 32,
  cache_prompt: false,
}

test('a right prediction is accepted, in both of its spellings, and changes nothing', options, async (t) => {
  const openai = await client(t)
  const plain = await openai.chat.completions.create(request)
  const text = plain.choices[0]!.message.content!
  const middle = text.indexOf(' ', text.length / 2)
  const parts = [text.slice(0, middle), text.slice(middle)].map((part) => ({ type: 'text' as const, text: part }))
  for (const content of [text, parts]) {
    const prediction = { type: 'content' as const, content }
    const { choices, usage } = await openai.chat.completions.create({ ...request, prediction })
    assert.equal(choices[0]!.message.content, text)
    const { accepted_prediction_tokens: right, rejected_prediction_tokens: wrong } = usage!.completion_tokens_details!
    assert.ok(right! > 8, `${right} of ${usage!.completion_tokens} tokens were predicted`)
    assert.ok(right! > plain.usage!.completion_tokens_details!.accepted_prediction_tokens!)
    assert.ok(wrong! < right!)
  }
})

test('a prediction helps a stream, too', options, async (t) => {
  const openai = await client(t)
  const plain = await openai.chat.completions.create(request)
  const prediction = { type: 'content' as const, content: plain.choices[0]!.message.content! }
  const stream_options = { include_usage: true }
  let text = ''
  let usage: OpenAI.CompletionUsage | null | undefined
  for await (const chunk of await openai.chat.completions.create({
    ...request,
    prediction,
    stream: true,
    stream_options,
  })) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage
  }
  assert.equal(text, prediction.content)
  assert.ok(usage!.completion_tokens_details!.accepted_prediction_tokens! > 8)
})

test('a wrong prediction changes nothing', options, async (t) => {
  const openai = await client(t)
  const plain = await openai.chat.completions.create(request)
  const prediction = { type: 'content' as const, content: 'The boats went by, one after the other. '.repeat(8) }
  const { choices } = await openai.chat.completions.create({ ...request, prediction })
  assert.equal(choices[0]!.message.content, plain.choices[0]!.message.content)
})

test('completions take a prediction, and fields that nobody knows', options, async (t) => {
  const openai = await client(t)
  const body = { model: 'any', prompt: 'One, two, three, four,', temperature: 0, max_tokens: 16, cache_prompt: false }
  const plain = await openai.completions.create(body)
  const { text } = plain.choices[0]!
  const unknown = { prediction: { type: 'content', content: text }, service_tier: 'auto', zzz: [1] }
  const predicted = await openai.completions.create({ ...body, ...unknown })
  assert.equal(predicted.choices[0]!.text, text)
  assert.ok(predicted.usage!.completion_tokens_details!.accepted_prediction_tokens! > 8)
})

test('the client sends what is ours along, and reads an answer that has members of ours', options, async (t) => {
  const openai = await client(t)
  const ours = { tier: 'npc', cache_salt: 'ann', alpha: null, min_stability: null, policy: 'committed' }
  const answer = await openai.chat.completions.create({ ...request, ...ours, max_tokens: 4 })
  assert.equal(answer.usage!.completion_tokens, 4)
  assert.ok('timings' in answer)
  assert.ok(!('lossy' in answer))
})
