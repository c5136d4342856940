import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { IncipitError } from '@incipit/engine/api'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { loadedBert } from './bert.ts'
import { constraintChecks } from './constraint-checks.ts'
import { delta, done, fakeEngine, guess, says } from './fake-engine.ts'
import { loaded, missing, shallow } from './models.ts'
import { type OpenApi, openApiOf } from './openapi.ts'
import { type Served, serve } from './serve.ts'
import { thinkingTemplate } from './thinking-template.ts'
import { weather } from './weather-tool.ts'

// What a server answers is what its own description says, by the word of a validator that is not ours.

const skip = missing(shallow)
const timeout = 120_000
const engine = loaded({ ...shallow, template: thinkingTemplate }, { contextLength: 1024, constraints: compile })
const embedder = loadedBert()
const constraints = constraintChecks()

type Method = 'get' | 'post' | 'delete'

/** Asks a server, and compares its answers with its description. */
class Described {
  readonly server: Served
  /** Answers that were compared, such as `post /v1/completions text/event-stream`. */
  readonly seen = new Set<string>()
  readonly #document: OpenApi
  readonly #validators = new Map<string, ValidateFunction>()
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })

  private constructor(server: Served, document: OpenApi) {
    this.server = server
    this.#document = document
    this.#ajv.addSchema({ $id: 'openapi', components: document.components })
  }

  static async of(
    t: TestContext,
    ...options: Parameters<typeof serve> extends [unknown, ...infer Rest] ? Rest : never
  ) {
    const server = await serve(t, ...options)
    return new Described(server, await openApiOf(server))
  }

  /** Every answer that is described. */
  get all(): string[] {
    return Object.entries(this.#document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses }]) =>
        Object.keys(responses['200']?.content ?? {}).map((type) => `${method} ${path} ${type}`),
      ),
    )
  }

  /** @returns the answer, of a stream its events */
  async ask(method: Method, path: string, body?: object, described = path): Promise<unknown> {
    const answer =
      method === 'post'
        ? await this.server.post(path, body)
        : await this.server.get(path, { method: method.toUpperCase() })
    const text = await answer.text()
    assert.equal(answer.status, 200, `${path} ${text}`)
    const type = answer.headers.get('content-type')!.split(';')[0]!
    const told = type === 'application/json' ? JSON.parse(text) : type === 'text/plain' ? text : eventsOf(text)
    for (const one of Array.isArray(told) && type !== 'application/json' ? told : [told]) {
      this.check(method, described, type, one)
    }
    return told
  }

  check(method: Method, path: string, type: string, value: unknown): void {
    const schema = this.#document.paths[path]?.[method]?.responses['200']?.content?.[type]?.schema
    assert.ok(schema, `${method} ${path} ${type} is not described`)
    const name = `openapi${schema.$ref}`
    const validate = this.#validators.get(name) ?? this.#ajv.compile({ $ref: name })
    this.#validators.set(name, validate)
    const fits = validate(value)
    // Of a union, what every member complains of.
    assert.ok(fits, `${path} ${type}\n${JSON.stringify(value)}\n${this.#ajv.errorsText(validate.errors)}`)
    this.seen.add(`${method} ${path} ${type}`)
  }
}

/** The objects of a stream: the data of events, or lines. */
function eventsOf(text: string): object[] {
  return text.split('\n').flatMap((line) => {
    const json = /^(?:data: )?(\{.*\})$/.exec(line)?.[1]
    return json === undefined ? [] : [JSON.parse(json) as object]
  })
}

const messages = [{ role: 'user', content: 'What is the weather in Paris?' }]
const off = { enable_thinking: false }
const calls = { tools: [{ type: 'function', function: weather }], tool_choice: 'required' }
const shown = { stream_options: { include_usage: true, include_provisional: true, min_stability: 0 } }

test('real answers of every route are as they are described', { skip, timeout }, async (t) => {
  const described = await Described.of(t, engine(), { embedder: embedder(), constraints })
  const { server } = described
  /** Whole and streamed. */
  const both = async (path: string, body: object, streamed: object = {}) => {
    await described.ask('post', path, { ...body, stream: false })
    await described.ask('post', path, { ...body, ...streamed, stream: true, return_progress: true })
  }
  const chat = { messages, max_tokens: 6 }
  await both('/v1/chat/completions', chat, shown)
  await both('/v1/chat/completions', { ...chat, ...off, n: 2, logprobs: true, top_logprobs: 2 })
  await both('/v1/chat/completions', { ...chat, ...off, ...calls, max_tokens: 80 })
  await described.ask('post', '/v1/chat/completions', { ...chat, prompt_logprobs: 1 })
  await both('/v1/completions', { prompt: ['Once', 'Twice'], max_tokens: 3, echo: true, logprobs: 2 }, shown)
  await described.ask('post', '/v1/completions', { prompt: 'Once', max_tokens: 2, prompt_logprobs: 2 })
  await described.ask('post', '/v1/prefill', { messages })
  await described.ask('post', '/v1/embeddings', { input: ['a', 'b'] })
  await described.ask('post', '/v1/embeddings', { input: 'a', encoding_format: 'base64' })

  const response = { input: messages[0]!.content, max_output_tokens: 6 }
  await both('/v1/responses', response)
  await both('/v1/responses', { ...response, ...off, top_logprobs: 2, include: ['message.output_text.logprobs'] })
  await both('/v1/responses', { ...response, reasoning: { summary: 'auto' }, include: ['reasoning.encrypted_content'] })
  const tools = [{ type: 'function', ...weather }]
  const called = { ...response, ...off, tools, tool_choice: 'required', max_output_tokens: 80, metadata: { a: 'b' } }
  await both('/v1/responses', called)
  const { id } = (await described.ask('post', '/v1/responses', called)) as { id: string }
  await described.ask('post', '/v1/responses/input_tokens', response)
  await described.ask('get', `/v1/responses/${id}`, undefined, '/v1/responses/{id}')
  await described.ask('get', `/v1/responses/${id}/input_items`, undefined, '/v1/responses/{id}/input_items')
  await described.ask('delete', `/v1/responses/${id}`, undefined, '/v1/responses/{id}')

  const anthropic = { messages, max_tokens: 6 }
  await both('/v1/messages', anthropic)
  await both('/v1/messages', {
    messages,
    max_tokens: 80,
    thinking: { type: 'disabled' },
    tools: [{ name: weather.name, input_schema: weather.parameters }],
    tool_choice: { type: 'any' },
  })
  await described.ask('post', '/v1/messages', { messages, max_tokens: 0 })
  await described.ask('post', '/v1/messages/count_tokens', { messages })

  const options = { num_predict: 6 }
  for (const think of [true, false]) {
    await both('/api/chat', { messages, think, options, logprobs: true, top_logprobs: 2 })
    await both('/api/generate', { prompt: 'Hi', think, options })
  }
  await described.ask('post', '/api/chat', { messages: [] })
  await described.ask('post', '/api/embed', { input: 'a' })
  await described.ask('post', '/api/embeddings', { prompt: 'a' })
  for (const path of ['/api/tags', '/api/ps', '/api/version']) await described.ask('get', path)
  await described.ask('post', '/api/show', { model: 'any' })

  const completion = { prompt: 'Once', n_predict: 3 }
  await both('/completion', { ...completion, n_probs: 2, return_tokens: true })
  await both('/completions', completion)
  await described.ask('post', '/completion', { ...completion, n_cmpl: 2 })
  await described.ask('post', '/tokenize', { content: 'Hi' })
  await described.ask('post', '/tokenize', { content: '🧑‍🚀', with_pieces: true })
  await described.ask('post', '/detokenize', { tokens: [1, 2] })
  await described.ask('post', '/apply-template', { messages })
  for (const path of ['/props', '/slots', '/health', '/metrics', '/openapi.json', '/v1/models', '/v1/engine']) {
    await described.ask('get', path)
  }
  const [{ id: name }] = ((await (await server.get('/v1/models')).json()) as { data: [{ id: string }] }).data
  await described.ask('get', `/v1/models/${name}`, undefined, '/v1/models/{name}')
  await watch(described)

  // This model fills no gaps: below.
  const missing = described.all.filter((answer) => !described.seen.has(answer) && !answer.includes('/infill'))
  assert.deepEqual(missing, [])
})

/** What the engine does while somebody else asks. */
async function watch(described: Described): Promise<void> {
  const controller = new AbortController()
  const stream = await described.server.get('/v1/steps?others=1', { signal: controller.signal })
  const asked = described.server.post('/v1/completions', { prompt: 'Twice upon a time', max_tokens: 4 })
  let text = ''
  for await (const piece of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += piece
    if (/"state":"over"/.test(text) && text.endsWith('\n\n')) break
  }
  controller.abort()
  await (await asked).text()
  for (const event of eventsOf(text)) described.check('get', '/v1/steps', 'text/event-stream', event)
}

test('so are guesses, gaps, and streams that fail', { timeout: 20_000 }, async (t) => {
  const fake = fakeEngine(async function* () {
    yield guess(1, 0, 'Hel')
    yield delta('Hello')
    throw new IncipitError('decode_failed', 'it broke')
  })
  const described = await Described.of(t, fake)
  const streams = { stream: true, ...shown }
  const told = [
    await described.ask('post', '/v1/chat/completions', { messages, ...streams }),
    await described.ask('post', '/v1/completions', { prompt: 'Hi', ...streams }),
    await described.ask('post', '/v1/responses', {
      input: 'Hi',
      stream: true,
      stream_options: { include_provisional: true },
    }),
  ]
  for (const events of told) assert.match(JSON.stringify(events), /provisional.*it broke/)
  const failed = [
    await described.ask('post', '/v1/messages', { messages, max_tokens: 5, stream: true }),
    await described.ask('post', '/api/chat', { messages }),
    await described.ask('post', '/completion', { prompt: 'Hi', stream: true }),
  ]
  for (const events of failed) assert.match(JSON.stringify(events), /it broke/)

  const filler = fakeEngine(says(delta('x'), done()))
  filler.info.fim = { order: 'psm', prefix: 1, suffix: 2, middle: 3 }
  const infill = await Described.of(t, { ...filler, detokenize: () => '' })
  const gap = { input_prefix: 'a', input_suffix: 'b' }
  await infill.ask('post', '/infill', gap)
  await infill.ask('post', '/infill', { ...gap, stream: true })
})
