import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import compile from '@incipit/constraint/compiler'
import { constraintChecks } from './constraint-checks.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { assertFree, chatModel, loaded, missing, onlyFull, prelude, settled } from './models.ts'
import { type Served, serve } from './serve.ts'

// llama-server's own routes, by its README.

const skip = missing(chatModel)
const long = skip || onlyFull
const timeout = 60_000
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile, parallel: 2 })
const code = loaded(prelude, { cut: 'none' })
const constraints = constraintChecks()

const prompt = 'The old man sat by the river and'
const request = { prompt, temperature: 0, n_predict: 8 }

interface Answer {
  index: number
  content: string
  tokens: number[]
  stop: boolean
  stop_type: string
  stopping_word: string
  tokens_predicted: number
  tokens_evaluated: number
  tokens_cached: number
  truncated: boolean
  prompt: string
  has_new_line: boolean
  generation_settings: Record<string, unknown>
  timings: Record<string, number>
  completion_probabilities?: { id: number; token: string; logprob: number; top_logprobs: { id: number }[] }[]
}

async function ask<T = Answer>({ post }: Served, path: string, body: unknown): Promise<T> {
  const response = await post(path, body)
  assert.equal(response.status, 200, await response.clone().text())
  return (await response.json()) as T
}

const start = (t: TestContext) => serve(t, engine(), { constraints, modelName: 'smol' })

/** The events of a stream that ends without a marker. */
async function events(response: Response): Promise<Answer[]> {
  const blocks = (await response.text()).split('\n\n')
  assert.equal(blocks.pop(), '')
  return blocks.map((block) => {
    assert.match(block, /^data: \{/)
    return JSON.parse(block.slice('data: '.length)) as Answer
  })
}

test('a completion, whole and streamed, under both of its names', { skip, timeout }, async (t) => {
  const server = await start(t)
  const whole = await ask(server, '/completion', { ...request, return_tokens: true })
  assert.deepEqual([whole.stop, whole.stop_type, whole.tokens_predicted], [true, 'limit', 8])
  assert.deepEqual([whole.prompt, whole.stopping_word, whole.truncated], [prompt, '', false])
  assert.equal(whole.tokens.length, 8)
  assert.equal(engine().detokenize(whole.tokens), whole.content)
  assert.equal(whole.tokens_evaluated, engine().tokenize(prompt).length)
  assert.equal(whole.generation_settings.n_predict, 8)
  assert.ok(whole.timings.predicted_per_second! > 0 && whole.timings.predicted_n === 8)
  assert.equal((await ask(server, '/completions', request)).content, whole.content)

  const told = await events(await server.post('/completion', { ...request, stream: true, return_tokens: true }))
  const last = told.pop()!
  assert.equal(told.map(({ content }) => content).join(''), whole.content)
  assert.deepEqual([...told.flatMap(({ tokens }) => tokens), ...last.tokens], whole.tokens)
  assert.ok(told.every(({ stop }) => stop === false))
  assert.deepEqual([last.stop, last.stop_type, last.content, last.tokens_predicted], [true, 'limit', '', 8])
  await assertFree(engine())
})

test('a prompt is text, token ids, both, an object, or several of these', { skip: long, timeout }, async (t) => {
  const server = await start(t)
  const { content } = await ask(server, '/completion', request)
  const tokens = engine().tokenize(prompt)
  const mixed = ['The old man', ...engine().tokenize(' sat by the river and')]
  for (const same of [tokens, mixed, { prompt_string: prompt }]) {
    assert.equal(
      (await ask(server, '/completion', { ...request, prompt: same })).content,
      content,
      JSON.stringify(same),
    )
  }
  const several = await ask<Answer[]>(server, '/completion', { ...request, prompt: [prompt, tokens, mixed] })
  assert.deepEqual(
    several.map((answer) => [answer.index, answer.content, answer.prompt]),
    [0, 1, 2].map((index) => [index, content, prompt]),
  )
  const two = await ask<Answer[]>(server, '/completion', { ...request, n_cmpl: 2 })
  assert.deepEqual(
    two.map((answer) => answer.content),
    [content, content],
  )
})

test('a text is one special token where it is one', { skip, timeout }, async (t) => {
  const server = await start(t)
  const { tokens_evaluated } = await ask(server, '/completion', { ...request, prompt: '<|im_start|>', n_predict: 1 })
  assert.equal(tokens_evaluated, 1)
})

test('n_predict -1 goes on until the model ends, 0 computes the prompt', { skip: long, timeout }, async (t) => {
  const server = await start(t)
  const chat = engine().renderChat([{ role: 'user', content: 'Say hi.' }])
  const ended = await ask(server, '/completion', { prompt: chat, temperature: 0, n_predict: -1 })
  assert.deepEqual([ended.stop_type, ended.stopping_word], ['eos', ''])
  const cold = `A prompt that nobody has asked before, and then: ${prompt}`
  const warmed = await ask(server, '/completion', { prompt: cold, n_predict: 0 })
  assert.deepEqual([warmed.content, warmed.tokens_predicted, warmed.stop_type], ['', 0, 'limit'])
  assert.ok(warmed.tokens_evaluated > 10)
  const warm = await ask(server, '/completion', { ...request, prompt: cold })
  assert.ok(warm.tokens_cached >= warm.tokens_evaluated - 2, JSON.stringify(warm))
  const none = await ask(server, '/completion', { ...request, prompt: cold, cache_prompt: false })
  assert.equal(none.tokens_cached, 0)
  assert.deepEqual(
    (await events(await server.post('/completion', { prompt: cold, n_predict: 0, stream: true }))).map(
      ({ stop }) => stop,
    ),
    [true],
  )
})

test('stop words, probabilities, biases and a choice of members', { skip: long, timeout }, async (t) => {
  const server = await start(t)
  const plain = await ask(server, '/completion', { ...request, n_probs: 3 })
  const [first] = plain.completion_probabilities!
  assert.equal(plain.completion_probabilities?.length, 8)
  assert.equal(plain.completion_probabilities?.map(({ token }) => token).join(''), plain.content)
  assert.ok(first!.logprob <= 0 && first!.top_logprobs.length === 3 && first!.top_logprobs[0]!.id === first!.id)

  const word = plain.content.trim().split(' ')[2]!
  const stopped = await ask(server, '/completion', { ...request, stop: [word] })
  assert.deepEqual([stopped.stop_type, stopped.stopping_word], ['word', word])

  for (const logit_bias of [[[first!.id, false]], { [first!.token]: -100 }, [[first!.token, -100]]]) {
    const other = await ask(server, '/completion', { ...request, logit_bias })
    assert.ok(!other.content.startsWith(first!.token), JSON.stringify(logit_bias))
  }
  const response_fields = ['content', 'timings/predicted_n', 'no/such']
  assert.deepEqual(await ask<object>(server, '/completion', { ...request, response_fields }), {
    content: plain.content,
    'timings/predicted_n': 8,
  })
})

test('a schema, or a grammar', { skip, timeout }, async (t) => {
  const server = await start(t)
  const said = 'Exactly: 🧑‍🚀🏳️‍🌈 你好 ñ ไทย'
  const json_schema = {
    type: 'object',
    properties: { said: { const: said } },
    required: ['said'],
    additionalProperties: false,
  }
  const told = await events(await server.post('/completion', { ...request, n_predict: 100, json_schema, stream: true }))
  assert.ok(told.every(({ content }) => !content.includes('\uFFFD')))
  assert.deepEqual(JSON.parse(told.map(({ content }) => content).join('')), { said })
  const grammar = 'root ::= "yes" | "no"'
  assert.match((await ask(server, '/completion', { ...request, grammar })).content, /^(yes|no)$/)
})

test('what a request leaves out is as llama-server has it; samplers that are not named are off', async (t) => {
  const fake = fakeEngine(says(delta('a'), done()))
  const server = await serve(t, fake)
  await ask(server, '/completion', { prompt })
  const { temperature, topK, topP, minP, maxTokens, parseSpecial } = fake.requests[0]!
  assert.deepEqual([temperature, topK, topP, minP, maxTokens, parseSpecial], [0.8, 40, 0.95, 0.05, undefined, true])
  const { generation_settings } = await ask(server, '/completion', {
    prompt,
    samplers: ['top_k', 'top_p', 'infill'],
    top_k: 5,
    repeat_penalty: 1.5,
  })
  const named = fake.requests[1]!
  assert.deepEqual([named.temperature, named.topK, named.topP, named.minP], [1, 5, 0.95, 0])
  assert.equal(named.repetitionPenalty, undefined)
  assert.deepEqual(generation_settings.samplers, ['top_k', 'top_p'])
  const penalised = await ask(server, '/completion', { prompt, repeat_penalty: 1.5 })
  const { repetitionPenalty, penaltyWindow } = fake.requests[2]!
  assert.deepEqual([repetitionPenalty, penaltyWindow, penalised.generation_settings.repeat_last_n], [1.5, 64, 64])
  assert.equal(generation_settings.seed, named.seed)
})

test('a reply ends at a line that is indented less, and when it has taken long enough', async (t) => {
  const body = says(delta('  a = 1\n    '), delta('b = 2\n'), delta('  c = 3\n '), delta('d = 4\n'), delta('e'), done())
  const server = await serve(t, fakeEngine(body))
  const indented = await ask(server, '/completion', { prompt, n_indent: 2 })
  assert.deepEqual([indented.content, indented.stop_type], ['  a = 1\n    b = 2\n  c = 3\n ', 'limit'])
  const all = await ask(server, '/completion', { prompt, n_indent: 0, t_max_predict_ms: 60_000 })
  assert.match(all.content, /e$/)

  const slow = fakeEngine(async function* () {
    for (const text of ['a', 'b', 'c\n', 'd', 'e', 'f']) {
      yield delta(text)
      await sleep(5)
    }
    yield done()
  })
  const timed = await ask(await serve(t, slow), '/completion', { prompt, t_max_predict_ms: 1 })
  assert.deepEqual([timed.content, timed.stop_type], ['abc\n', 'limit'])
})

test('real replies are cut off by their limits', { skip, timeout }, async (t) => {
  const server = await serve(t, code())
  const list = { prompt: gap.input_prefix, temperature: 0, n_predict: 200, t_max_predict_ms: 1 }
  const { stop_type, tokens_predicted, content } = await ask(server, '/completion', list)
  assert.equal(stop_type, 'limit')
  assert.ok(tokens_predicted < 100 && content.includes('\n'), `${tokens_predicted}: ${content}`)
  await assertFree(code())
})

const gap = {
  input_prefix: 'function add(a, b) {\n',
  input_suffix: '\n}\n',
  prompt: '  ret',
  n_predict: 8,
  temperature: 0,
}

async function generated(prompt: readonly (string | number)[]): Promise<string> {
  let text = ''
  for await (const event of code().generate({ prompt, maxTokens: 8 })) if (event.type === 'delta') text += event.text
  return text
}

test('infill: the gap in the order of the model, other files around it', async (t) => {
  const server = await serve(t, code())
  const { fim } = code().info
  const around = (extra: string) =>
    generated([
      fim!.begin!,
      fim!.suffix,
      '\n}\n',
      fim!.prefix,
      ...(extra ? [extra] : []),
      'function add(a, b) {\n  ret',
      fim!.middle!,
    ])
  const answer = await ask(server, '/infill', gap)
  assert.equal(answer.content, await around(''))
  const input_extra = [{ filename: 'sub.js', text: 'function sub(a, b) {\n  return a - b\n}' }]
  assert.equal(
    (await ask(server, '/infill', { ...gap, input_extra })).content,
    await around(`${input_extra[0]!.text}\n`),
  )
  // As llama.vim warms what it is going to ask.
  const warm = await ask(server, '/infill', {
    ...gap,
    input_prefix: 'function mul(a, b) {\n',
    n_predict: 0,
    samplers: [],
  })
  const cached = await ask(server, '/infill', { ...gap, input_prefix: 'function mul(a, b) {\n' })
  assert.ok(cached.tokens_cached >= warm.tokens_evaluated - 2)
})

test('infill answers in the tier of editors, and puts files between tokens for files', async (t) => {
  const fake = fakeEngine(says(delta('a'), done()))
  fake.info.fim = { order: 'psm', prefix: 1, suffix: 2, middle: 3, file: 4, repository: 5 }
  const server = await serve(t, { ...fake, detokenize: () => '' })
  await ask(server, '/infill', { ...gap, input_extra: [{ filename: 'b.js', text: 'b' }, { text: 'c' }] })
  const { tier, parseSpecial, prompt: pieces } = fake.requests[0]!
  assert.deepEqual([tier, parseSpecial], ['code', undefined])
  const files = [5, 'myproject\n', 4, 'b.js\nb\n', 4, 'tmp\nc\n', 4, 'filename\n']
  assert.deepEqual(pieces, [...files, 1, `${gap.input_prefix}  ret`, 2, gap.input_suffix, 3])
})

test('what is ours is taken by both, speculation that is switched off included', async (t) => {
  const fake = fakeEngine(says(delta('a'), done()))
  fake.info.fim = { order: 'psm', prefix: 1, suffix: 2, middle: 3 }
  const server = await serve(t, { ...fake, detokenize: () => '' })
  const ours = { speculate: false, tier: 'npc', cache_salt: 'a' }
  await ask(server, '/completion', { prompt: 'a', ...ours })
  await ask(server, '/infill', { ...gap, ...ours })
  await ask(server, '/completion', { prompt: 'a' })
  const taken = fake.requests.map(({ proposers, tier, cacheSalt }) => [proposers, tier, cacheSalt?.endsWith('a')])
  assert.deepEqual(taken, [
    [[], 'npc', true],
    [[], 'npc', true],
    [undefined, undefined, false],
  ])
})

test('infill: what is asked at every key and given up leaves nothing behind', async (t) => {
  const server = await serve(t, code())
  const typed = 'function add(a, b) {\n  return a + b\n'
  for (let i = 1; i <= 20; i++) {
    const controller = new AbortController()
    const asked = server.post(
      '/infill',
      { ...gap, prompt: typed.slice(0, i), n_predict: 200 },
      { signal: controller.signal },
    )
    asked.catch(() => {})
    await sleep(10)
    controller.abort()
  }
  await settled(code(), 1000)
  assert.equal((await ask(server, '/infill', gap)).tokens_predicted, 8)
  await assertFree(code())
})

test('tokens of a text, and the text of tokens', { skip, timeout }, async (t) => {
  const server = await start(t)
  type Tokens = { tokens: number[] }
  const text = 'Hello <|im_end|> world, ñandú'
  const { tokens } = await ask<Tokens>(server, '/tokenize', { content: text })
  assert.deepEqual(tokens, engine().tokenize(text, { special: true }))
  const plain = await ask<Tokens>(server, '/tokenize', { content: text, parse_special: false })
  assert.deepEqual(plain.tokens, engine().tokenize(text))
  assert.ok(plain.tokens.length > tokens.length)
  assert.equal((await ask<Answer>(server, '/detokenize', { tokens: plain.tokens })).content, text)
  const { tokens: pieces } = await ask<{ tokens: { id: number; piece: string }[] }>(server, '/tokenize', {
    content: 'Hello world',
    with_pieces: true,
  })
  assert.equal(pieces.map(({ piece }) => piece).join(''), 'Hello world')
  assert.deepEqual(
    pieces.map(({ id }) => id),
    engine().tokenize('Hello world'),
  )
  type Piece = { id: number; piece: string | number[] }
  const parts = await ask<{ tokens: Piece[] }>(server, '/tokenize', { content: '🧑‍🚀ไ<|im_end|>', with_pieces: true })
  const bytes = parts.tokens.map(({ piece }) => Buffer.from(piece as string))
  assert.equal(Buffer.concat(bytes).toString(), '🧑‍🚀ไ<|im_end|>')
  assert.ok(
    parts.tokens.some(({ piece }) => Array.isArray(piece)),
    'a token is a part of a character',
  )
  const named = parts.tokens.map(({ id }) => id)
  assert.equal((await ask<Answer>(server, '/detokenize', { tokens: named })).content, '🧑‍🚀ไ<|im_end|>')
  const begun = await serve(t, code())
  const { tokens: all } = await ask<Tokens>(begun, '/tokenize', { content: 'a', add_special: true })
  assert.equal(all[0], code().info.begin ?? all[0])
})

test('a conversation as its prompt', { skip, timeout }, async (t) => {
  const server = await start(t)
  const messages = [{ role: 'user', content: 'Hello' }]
  const { prompt } = await ask<{ prompt: string }>(server, '/apply-template', { messages })
  assert.equal(prompt, engine().renderChat(messages))
})

test('props and slots', { skip, timeout }, async (t) => {
  const server = await start(t)
  const props = (await (await server.get('/props')).json()) as Record<string, unknown>
  assert.deepEqual([props.total_slots, props.model_alias], [2, 'smol'])
  assert.match(String(props.chat_template), /im_start/)
  const { n_ctx, params } = props.default_generation_settings as { n_ctx: number; params: Record<string, unknown> }
  assert.deepEqual([n_ctx, params.temperature, params.n_predict], [1024, 0.8, -1])
  const busy = async (query = '') => {
    const response = await server.get(`/slots${query}`)
    const slots = (await response.json()) as { is_processing: boolean }[]
    return response.status === 200 ? slots.map((slot) => slot.is_processing) : response.status
  }
  assert.deepEqual(await busy(), [false, false])
  const controller = new AbortController()
  const { signal } = controller
  const both = [1, 2].map(() =>
    server.post('/completion', { ...request, n_predict: 500, ignore_eos: true, stream: true }, { signal }),
  )
  await Promise.all(both)
  while (engine().stats().running < 2) await sleep(1)
  assert.deepEqual(await busy(), [true, true])
  assert.equal(await busy('?fail_on_no_slot=1'), 503)
  controller.abort()
  await assertFree(engine())
})

test('errors have llama-server’s shape and name the field', { skip, timeout }, async (t) => {
  const server = await serve(t, engine(), { constraints, apiKey: 'secret' })
  const authorization = { 'content-type': 'application/json', 'x-api-key': 'secret' }
  const refused = async (path: string, body: object, message: RegExp, type = 'invalid_request_error', status = 400) => {
    const response = await server.post(path, body, { headers: authorization })
    const { error } = (await response.json()) as { error: { code: number; message: string; type: string } }
    assert.deepEqual([response.status, error.code, error.type], [status, status, type], error.message)
    assert.match(error.message, message)
  }
  await refused('/completion', { ...request, mirostat: 2 }, /mirostat/)
  await refused('/completion', { ...request, dry_multiplier: 0.8 }, /dry_multiplier/)
  await refused('/completion', { ...request, repeat_penalty: 1.1, repeat_last_n: -2 }, /repeat_last_n/)
  await refused('/completion', { ...request, lora: [{ id: 0, scale: 1 }] }, /lora/)
  await refused('/completion', { ...request, post_sampling_probs: true }, /post_sampling_probs/)
  await refused(
    '/completion',
    { ...request, prompt: { prompt_string: 'a', multimodal_data: ['AA=='] } },
    /multimodal_data/,
  )
  await refused('/completion', { ...request, prompt: [1e9] }, /prompt/)
  await refused('/completion', { n_predict: 1 }, /prompt/)
  await refused('/completion', { ...request, json_schema: { type: 'nonsense' } }, /^json_schema/)
  await refused('/completion', { ...request, prompt: 'word '.repeat(2000) }, /tokens/, 'exceed_context_size_error')
  await refused('/infill', { ...gap }, /fill in the middle/)
  await refused('/infill', { input_prefix: 'a' }, /input_suffix/)
  await refused('/detokenize', { tokens: [1e9] }, /tokens/)
  await refused('/slots/0?action=save', { filename: 'a' }, /action/)
  const stranger = await server.post('/completion', request)
  assert.equal(stranger.status, 401)
  assert.equal(((await stranger.json()) as { error: { type: string } }).error.type, 'authentication_error')
})
