import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import type { unsupportedParameters } from '../src/unsupported-parameters.ts'
import { delta, done, says } from './fake-engine.ts'
import { fakeRealtimeEngine } from './realtime-fake.ts'
import { type Served, serve } from './serve.ts'

// What other servers can do to a reply and this one cannot is refused everywhere, unless it is asked to do nothing.

type Name = keyof typeof unsupportedParameters

const ours = ['penalties', 'top_k', 'top_p', 'min_p', 'temperature']

/** Values that ask for something, and values that do not. */
const values: Record<Name, { asks: unknown[]; nothing: unknown[] }> = {
  mirostat: { asks: [1, 2, true], nothing: [0] },
  dry_multiplier: { asks: [0.8], nothing: [0] },
  xtc_probability: { asks: [0.5], nothing: [0] },
  typical_p: { asks: [0.9, 0], nothing: [1] },
  tfs_z: { asks: [0.95], nothing: [1] },
  top_a: { asks: [0.2], nothing: [0] },
  top_n_sigma: { asks: [1], nothing: [-1, 0] },
  dynatemp_range: { asks: [0.5], nothing: [0] },
  adaptive_target: { asks: [0.5, 0], nothing: [-1] },
  min_keep: { asks: [2], nothing: [0, 1] },
  penalize_newline: { asks: [false], nothing: [true] },
  samplers: {
    asks: [['top_k'], ['temperature', ...ours.slice(0, 4)], 'kp'],
    nothing: [ours, ['penalties', 'dry', 'top_k', 'typ_p', 'top_p', 'min_p', 'xtc', 'temperature']],
  },
  n_predict: { asks: [5], nothing: [-1] },
  n_indent: { asks: [2], nothing: [0] },
  t_max_predict_ms: { asks: [50], nothing: [0, -1] },
  lora: { asks: [[{ id: 0, scale: 1 }]], nothing: [[]] },
  thinking_budget_tokens: { asks: [5], nothing: [-1] },
  reasoning_budget_tokens: { asks: [5], nothing: [-1] },
  thinking_token_budget: { asks: [5], nothing: [-1] },
  reasoning_budget_message: { asks: ['Enough.'], nothing: [''] },
  use_beam_search: { asks: [true], nothing: [false] },
  length_penalty: { asks: [0.5], nothing: [1] },
  early_stopping: { asks: [true], nothing: [false] },
  best_of: { asks: [2], nothing: [1] },
  stop_token_ids: { asks: [[7]], nothing: [[]] },
  include_stop_str_in_output: { asks: [true], nothing: [false] },
  skip_special_tokens: { asks: [false], nothing: [true] },
  allowed_token_ids: { asks: [[7]], nothing: [[]] },
  bad_words: { asks: [['no']], nothing: [[]] },
  logits_processors: { asks: [['x.Processor']], nothing: [[]] },
  repetition_detection: { asks: [{ max_pattern_size: 3 }], nothing: [] },
  truncate_prompt_tokens: { asks: [10], nothing: [-1] },
}

const budgets: Name[] = ['thinking_budget_tokens', 'reasoning_budget_tokens', 'thinking_token_budget']

/** What tunes something that is off. */
const without = {
  mirostat_tau: 3,
  mirostat_eta: 0.2,
  dry_base: 2,
  dry_allowed_length: 3,
  dry_penalty_last_n: 64,
  dry_sequence_breakers: ['\n'],
  xtc_threshold: 0.2,
  dynatemp_exponent: 2,
  adaptive_decay: 0.5,
}

const messages = [{ role: 'user', content: 'Hi' }]
const inOptions = (options: object) => ({ messages, stream: false, options })

/** How each endpoint is asked, and what it has of its own by one of these names. */
const endpoints: { path: string; body: (fields: object) => object; honours: Name[] }[] = [
  { path: '/v1/chat/completions', body: (fields) => ({ messages, ...fields }), honours: ['n_predict', ...budgets] },
  { path: '/v1/completions', body: (fields) => ({ prompt: 'Hi', ...fields }), honours: ['n_predict'] },
  { path: '/v1/responses', body: (fields) => ({ input: 'Hi', ...fields }), honours: budgets },
  { path: '/v1/messages', body: (fields) => ({ messages, max_tokens: 5, ...fields }), honours: [] },
  { path: '/api/chat', body: inOptions, honours: [] },
  {
    path: '/api/generate',
    body: (options) => ({ prompt: 'Hi', stream: false, options }),
    honours: [],
  },
  {
    path: '/completion',
    body: (fields) => ({ prompt: 'Hi', ...fields }),
    honours: ['n_predict', 'samplers', 'n_indent', 't_max_predict_ms'],
  },
  {
    path: '/infill',
    body: (fields) => ({ input_prefix: 'a', input_suffix: 'b', ...fields }),
    honours: ['n_predict', 'samplers', 'n_indent', 't_max_predict_ms'],
  },
]

function engine() {
  const fake = fakeRealtimeEngine(says(delta('x'), done()))
  fake.info.fim = { order: 'psm', prefix: 1, suffix: 2, middle: 3 }
  return { ...fake, detokenize: () => '', renderChat: () => '' }
}

const cases = Object.entries(values) as [Name, (typeof values)[Name]][]

for (const { path, body, honours } of endpoints) {
  test(`${path} refuses what it does not have, by its name, and takes what asks for nothing`, async (t) => {
    const server = await serve(t, engine())
    for (const [name, { asks, nothing }] of cases) {
      for (const value of honours.includes(name) ? [] : asks) {
        const answer = await server.post(path, body({ [name]: value }))
        const text = await answer.text()
        assert.equal(answer.status, 400, `${name} ${JSON.stringify(value)}: ${text}`)
        assert.match(text, new RegExp(`"(options\\.)?${name}: `), text)
      }
      for (const value of [...nothing, null]) {
        const answer = await server.post(path, body({ [name]: value }))
        assert.equal(answer.status, 200, `${name} ${JSON.stringify(value)}: ${await answer.text()}`)
      }
    }
    assert.equal((await server.post(path, body(without))).status, 200)
  })
}

interface SocketError {
  type: string
  error?: { param: string | null; code: string; message: string }
}

/** Sends events over a socket, and returns the first of these types that comes back for each of them. */
async function exchange(server: Served, path: string, sent: readonly object[], types: readonly string[]) {
  const socket = new WebSocket(server.url.replace('http', 'ws') + path)
  const told: SocketError[] = []
  let wake = () => {}
  socket.on('message', (data) => {
    const event = JSON.parse(String(data)) as SocketError
    if (types.includes(event.type)) told.push(event)
    wake()
  })
  await new Promise((resolve) => socket.once('open', resolve))
  // Something to answer; of responses it is part of the request.
  if (path === '/v1/realtime') socket.send(JSON.stringify({ type: 'conversation.replace', messages }))
  for (const [i, event] of sent.entries()) {
    socket.send(JSON.stringify(event))
    while (told.length <= i) await new Promise<void>((resolve) => (wake = resolve))
  }
  socket.close()
  return told
}

for (const [name, path, event, taken] of [
  [
    'responses',
    '/v1/responses',
    (fields: object) => ({ type: 'response.create', input: 'Hi', ...fields }),
    'response.completed',
  ],
  [
    'settings of a realtime session',
    '/v1/realtime',
    (session: object) => ({ type: 'session.update', session }),
    'session.updated',
  ],
  [
    'a realtime response',
    '/v1/realtime',
    (response: object) => ({ type: 'response.create', response: { input: null, ...response } }),
    'response.done',
  ],
] as const) {
  test(`over a socket, ${name}: the same`, async (t) => {
    const server = await serve(t, engine())
    const refused = cases.filter(([name]) => !budgets.includes(name))
    const asked = refused.flatMap(([name, { asks }]) => asks.map((value) => [name, value] as const))
    const events = asked.map(([name, value]) => event({ [name]: value }))
    const told = await exchange(server, path, events, ['error', taken])
    for (const [i, { type, error }] of told.entries()) {
      const [param] = asked[i]!
      assert.equal(type, 'error', JSON.stringify(events[i]))
      assert.deepEqual([error!.param!.split('.').at(-1), error!.code], [param, 'unsupported'])
    }
    const nothing = Object.fromEntries(
      cases.flatMap(([name, { nothing }]) => (nothing.length > 0 ? [[name, nothing[0]]] : [])),
    )
    const [last] = await exchange(server, path, [event({ ...nothing, ...without })], ['error', taken])
    assert.equal(last!.type, taken, JSON.stringify(last))
  })
}

test('/v1/completions: the best of as many as are told is all of them', async (t) => {
  const server = await serve(t, engine())
  assert.equal((await server.post('/v1/completions', { prompt: 'Hi', n: 2, best_of: 2 })).status, 200)
  assert.equal((await server.post('/v1/completions', { prompt: 'Hi', n: 2, best_of: 3 })).status, 400)
})

test('n_predict bounds a chat as max_tokens does, and goes first', async (t) => {
  const fake = engine()
  const server = await serve(t, fake)
  await server.post('/v1/chat/completions', { messages, max_tokens: 5, n_predict: 3 })
  await server.post('/v1/completions', { prompt: 'Hi', n_predict: -1 })
  assert.deepEqual(
    fake.requests.map(({ maxTokens }) => maxTokens),
    [3, undefined],
  )
})
