import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { ConstraintChecks } from '@incipit/constraint'
import compile from '@incipit/constraint/compiler'
import {
  embed,
  generateText,
  type LanguageModel,
  Output,
  readUIMessageStream,
  stepCountIs,
  streamText,
  tool,
  toUIMessageStream,
} from 'ai'
import { z } from 'zod'
import { loadedBert } from '../../server/test/bert.ts'
import { delta, done, fakeEngine, guess, says } from '../../server/test/fake-engine.ts'
import { chatModel, loaded, longMessage, longReply, missing } from '../../server/test/models.ts'
import { serve } from '../../server/test/serve.ts'
import { createIncipit, type IncipitProvider, provisionalTextOf } from '../src/index.ts'

const skip = missing(chatModel)
const timeout = 60_000
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile })
const encoder = loadedBert()
const constraints = new ConstraintChecks()
after(() => constraints[Symbol.dispose]())

// Of the completion model; of the chat model a test looks at them.
globalThis.AI_SDK_LOG_WARNINGS = false

async function provider(t: TestContext, served: Parameters<typeof serve>[1] = engine()): Promise<IncipitProvider> {
  const { url } = await serve(t, served, { constraints, embedder: encoder() })
  return createIncipit({ baseURL: `${url}/v1` })
}

const request = { temperature: 0, maxOutputTokens: 8, maxRetries: 0 }

/** What a reader of the stream shows: committed text, and in brackets what may still be taken back. */
async function shown(model: LanguageModel, prompt = 'Go.'): Promise<string[]> {
  const states: string[] = []
  let text = ''
  for await (const part of streamText({ model, prompt, maxRetries: 0 }).stream) {
    if (part.type === 'error') throw part.error
    if (part.type !== 'text-delta') continue
    text += part.text
    states.push(`${text}[${provisionalTextOf(part)}]`)
  }
  return states
}

test('a text says how it goes on, and takes it back', async (t) => {
  const script = says(guess(1, 0, 'The old'), delta('The'), guess(2, 3, ' new'), delta(' sea'), delta('.'), done())
  const incipit = await provider(t, fakeEngine(script))
  assert.deepEqual(await shown(incipit('any')), ['[The old]', 'The[ old]', 'The[ new]', 'The sea[]', 'The sea.[]'])
})

test('a guess that nothing came of is taken back before the end', async (t) => {
  const incipit = await provider(t, fakeEngine(says(guess(1, 0, 'The'), done())))
  assert.deepEqual(await shown(incipit('any')), ['[The]', '[]'])
})

test('of a stream of real weights: guesses come first, and the text is the model’s own', {
  skip,
  timeout,
}, async (t) => {
  const incipit = await provider(t)
  const stream = streamText({
    model: incipit('any'),
    prompt: longMessage,
    ...request,
    topK: 40,
    providerOptions: { incipit: { min_stability: 0, cache_prompt: false } },
  })
  const parts = (await Array.fromAsync(stream.stream)).filter((part) => part.type === 'text-delta')
  assert.equal(parts[0]!.text, '')
  assert.notEqual(provisionalTextOf(parts[0]!), '')
  assert.equal(provisionalTextOf(parts.at(-1)!), '')
  assert.deepEqual(await stream.warnings, [])
  const text = await stream.text
  assert.equal(text, parts.map(({ text }) => text).join(''))
  assert.equal(text, await longReply(engine()))
  const { timings } = (await stream.providerMetadata)!.incipit as { timings: Record<string, number> }
  assert.ok(timings.provisional_ms! < timings.committed_ms!)
  const whole = await generateText({
    model: incipit('any'),
    prompt: longMessage,
    ...request,
    topK: 40,
    providerOptions: { incipit: { cache_prompt: false } },
  })
  assert.equal(whole.text, text)
  assert.ok((whole.providerMetadata!.incipit as typeof timings).timings)
})

test('a message keeps what came last, goes on, and has nothing provisional when it is done', async (t) => {
  const script = says(guess(1, 0, 'The sea'), delta('The'), guess(2, 3, ' sky'), delta(' sky'), done())
  const incipit = await provider(t, fakeEngine(script))
  const { stream } = streamText({ model: incipit('any'), prompt: 'Go.', maxRetries: 0 })
  const states: string[] = []
  let last: object | undefined
  for await (const { parts } of readUIMessageStream({ stream: toUIMessageStream({ stream }) })) {
    for (const part of parts) {
      if (part.type !== 'text') continue
      states.push(`${part.text}[${provisionalTextOf(part)}]`)
      last = part.providerMetadata
    }
  }
  assert.ok(states.includes('[The sea]') && states.includes('The[ sky]'), states.join())
  assert.equal(states.at(-1), 'The sky[]')
  assert.deepEqual(last, { incipit: {} })
})

test('what a model thinks is told apart; a guess before it goes', async (t) => {
  const script = says(guess(1, 0, 'Yes'), delta('<think>Hm.</think>'), guess(2, 18, 'No'), delta('No.'), done())
  const fake = fakeEngine(script)
  const info = { ...fake.info, reasoning: { start: '<think>', end: '</think>' } }
  const thinks = { ...fake, info, renderChat: async () => '<|im_start|>assistant\n' }
  const incipit = await provider(t, thinks)
  const stream = streamText({ model: incipit('any'), prompt: 'Go.', maxRetries: 0 })
  assert.equal(await stream.text, 'No.')
  assert.equal(await stream.reasoningText, 'Hm.')
})

const weather = tool({
  description: 'The weather in a city.',
  inputSchema: z.object({ city: z.string().max(12) }),
  execute: async () => 'It is sunny.',
})

test('tools are called in a stream, and their results sent back', { skip, timeout }, async (t) => {
  const incipit = await provider(t)
  const stream = streamText({
    model: incipit('any'),
    prompt: 'What is the weather in Paris?',
    tools: { weather },
    toolChoice: 'required',
    stopWhen: stepCountIs(2),
    ...request,
    maxOutputTokens: 60,
    // A small model calls on and on.
    providerOptions: { incipit: { parallel_tool_calls: false, min_stability: 0 } },
  })
  const steps = await stream.steps
  assert.equal(steps.length, 2)
  const [result] = steps[0]!.toolResults
  assert.ok(result && !result.dynamic)
  assert.equal(typeof result.input.city, 'string')
  assert.equal(result.output, 'It is sunny.')
})

test('an object, streamed', { skip, timeout }, async (t) => {
  const incipit = await provider(t)
  const schema = z.object({ name: z.string().max(12), age: z.int().min(0).max(120) })
  const stream = streamText({
    model: incipit('any'),
    prompt: 'Invent a person. Answer in JSON.',
    output: Output.object({ schema }),
    ...request,
    maxOutputTokens: 60,
    providerOptions: { incipit: { min_stability: 0 } },
  })
  const object = await stream.output
  assert.ok(schema.safeParse(object).success, JSON.stringify(object))
})

test('vectors of texts, raw completions, and no images', { skip, timeout }, async (t) => {
  const incipit = await provider(t)
  const { embedding } = await embed({ model: incipit.embeddingModel('bert'), value: 'Hello world' })
  assert.equal(embedding.length, (await encoder().embed(['Hello world'])).vectors[0]!.length)
  const { text } = await generateText({ model: incipit.completionModel('any'), prompt: 'One, two,', ...request })
  assert.ok(text.length > 0)
  assert.throws(() => incipit.imageModel('any'), /No such imageModel/)
})

test('the example of the README runs as it stands', { skip, timeout }, async (t) => {
  const { url } = await serve(t, engine())
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme)!
  const file = join(import.meta.dirname, `readme-${process.pid}.ts`)
  writeFileSync(file, code!.replace('http://127.0.0.1:8080', url))
  t.after(() => rmSync(file))
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text
  })
  const [status] = await once(child, 'close')
  assert.equal(status, 0)
  assert.ok(printed.length > 100 && printed.endsWith('[]\n'), printed)
})
