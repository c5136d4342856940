import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import type { Said } from '../../suggest/gate.ts'
import { PromptTooLong, type RewriteOptions } from '../backend.ts'
import { ChatRewriter } from './chat-rewriter.ts'
import { ServerFailure } from './post.ts'

type Body = Readonly<Record<string, unknown>>

const prompt = { messages: [{ role: 'user', content: 'a' }], beginsWith: '```\n', predicted: '```\nb\n```' }

/** A rewriter of a server that answers `b`, or refuses a body for a reason. */
async function rewriter(t: TestContext, refusal: (body: Body) => string | undefined) {
  const bodies: Body[] = []
  const server = createServer(async (request, response) => {
    const body = (await json(request)) as Body
    bodies.push(body)
    const message = refusal(body)
    if (message !== undefined) {
      response.writeHead(400).end(JSON.stringify({ error: { message } }))
      return
    }
    const logprobs = body.logprobs ? { content: [{ logprob: Math.log(0.5) }, { logprob: Math.log(0.5) }] } : null
    const usage = {
      prompt_tokens: 9,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { accepted_prediction_tokens: 2 },
    }
    const events = [{ choices: [{ delta: { content: 'b' }, logprobs }] }, { choices: [], usage }]
    response.end(`${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return { rewriter: new ChatRewriter({ url: `http://127.0.0.1:${port}`, key: undefined }, { model: 'm' }), bodies }
}

async function said(rewriter: ChatRewriter, options: Partial<RewriteOptions> = {}): Promise<Said[]> {
  const { signal } = new AbortController()
  return Array.fromAsync(rewriter.rewrite(prompt, { maxTokens: 9, signal, ...options }))
}

test('what is expected goes along, and what came of it comes back', async (t) => {
  const { rewriter: chat, bodies } = await rewriter(t, () => undefined)
  const usages: unknown[] = []
  assert.deepEqual(await said(chat, { onUsage: (usage) => usages.push(usage) }), [{ text: 'b', probability: 0.25 }])
  assert.deepEqual(usages, [{ promptTokens: 9, cachedTokens: 4, acceptedPredictionTokens: 2 }])
  const { model, prediction, logprobs } = bodies[0]!
  assert.deepEqual(
    { model, prediction, logprobs },
    { model: 'm', prediction: { type: 'content', content: prompt.predicted }, logprobs: true },
  )
})

test('a server that takes no prediction is asked without, and is not tried again', async (t) => {
  const { rewriter: chat, bodies } = await rewriter(t, (body) => (body.prediction ? 'no prediction' : undefined))
  assert.deepEqual(await said(chat), [{ text: 'b', probability: 0.25 }])
  await said(chat)
  assert.deepEqual(
    bodies.map(({ prediction }) => prediction !== undefined),
    [true, false, false],
  )
})

test('one that takes no probabilities gives none; one that takes nothing rewrites nothing', async (t) => {
  const plain = await rewriter(t, (body) => (body.prediction || body.logprobs ? 'unknown parameter' : undefined))
  assert.deepEqual(await said(plain.rewriter), [{ text: 'b', probability: undefined }])
  assert.ok(plain.rewriter.available)
  const none = await rewriter(t, () => 'no chat here')
  await assert.rejects(said(none.rewriter), ServerFailure)
  assert.ok(!none.rewriter.available)
})

test('a prompt that is too long is said to be', async (t) => {
  const { rewriter: chat } = await rewriter(t, () => 'the maximum context is 8 tokens')
  await assert.rejects(said(chat), PromptTooLong)
  assert.ok(chat.available)
})
