import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { RevisableText, streamChat } from '@incipit/client'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { delta, done, fakeEngine, guess, says } from './fake-engine.ts'
import { serve } from './serve.ts'
import { splitProxy } from './split-proxy.ts'

// Streams whose bytes come one, two, three or seven at a time: nobody reads a broken character or event.

const pieces = ['Größe: 3 µm', ' – 你好', '\n\ndata: {"kein":"Ereignis"}\n\n', '👩‍🚀🇨🇭', ' e\u0301nde']
const text = pieces.join('')
const messages = [{ role: 'user' as const, content: 'Sag 👋' }]

async function split(t: TestContext, bytes: number): Promise<string> {
  const script = says(guess(1, 0, 'Größe: 4 🦆'), ...pieces.map((piece) => delta(piece)), done())
  const { port } = await serve(t, fakeEngine(script))
  return splitProxy(t, port, bytes)
}

for (const bytes of [1, 2, 3, 7]) {
  test(`${bytes} at a time: chat and completions`, async (t) => {
    const url = await split(t, bytes)
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
    let chat = ''
    for await (const chunk of await openai.chat.completions.create({ model: 'm', messages, stream: true })) {
      chat += chunk.choices[0]?.delta.content ?? ''
    }
    let completion = ''
    for await (const chunk of await openai.completions.create({ model: 'm', prompt: 'Sag 👋', stream: true })) {
      completion += chunk.choices[0]?.text ?? ''
    }
    const whole = await openai.chat.completions.create({ model: 'm', messages })
    assert.deepEqual([chat, completion, whole.choices[0]?.message.content], [text, text, text])
  })

  test(`${bytes} at a time: responses`, async (t) => {
    const url = await split(t, bytes)
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
    const response = await openai.responses.stream({ model: 'm', input: 'Sag 👋' }).finalResponse()
    assert.equal(response.output_text, text)
  })

  test(`${bytes} at a time: Anthropic's messages`, async (t) => {
    const url = await split(t, bytes)
    const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
    const stream = anthropic.messages.stream({ model: 'm', max_tokens: 99, messages })
    assert.equal(await stream.finalText(), text)
  })

  test(`${bytes} at a time: Ollama's lines`, async (t) => {
    const url = await split(t, bytes)
    let said = ''
    for await (const line of await new Ollama({ host: url }).chat({ model: 'm', messages, stream: true })) {
      said += line.message.content
    }
    assert.equal(said, text)
  })

  test(`${bytes} at a time: text that is revised`, async (t) => {
    const url = await split(t, bytes)
    const reply = new RevisableText()
    const shown: string[] = []
    reply.subscribe(({ committed, provisional }) => shown.push(committed + provisional))
    const body = { messages, stream_options: { include_provisional: true } }
    for await (const event of streamChat(`${url}/v1/chat/completions`, body)) reply.apply(event)
    assert.equal(reply.committed, text)
    assert.ok(shown.includes('Größe: 4 🦆'), 'the guess')
    assert.deepEqual(
      shown.filter((one) => one.includes('\uFFFD')),
      [],
    )
  })

  test(`${bytes} at a time: who leaves within an event is noticed`, async (t) => {
    const left = Promise.withResolvers<void>()
    const fake = fakeEngine(async function* ({ signal }) {
      yield delta(text)
      if (!signal?.aborted) await once(signal!, 'abort')
      left.resolve()
    })
    const url = await splitProxy(t, (await serve(t, fake)).port, bytes)
    const abort = new AbortController()
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages, stream: true }),
      signal: abort.signal,
    })
    await response.body!.getReader().read()
    abort.abort()
    await left.promise
  })
}
