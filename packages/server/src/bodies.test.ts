import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ChatBody, chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { errorAnswer } from './errors.ts'
import { validate } from './validate.ts'

const user = { role: 'user', content: 'Hi' }

const chat = (over: object): ChatBody => validate(chatBody, { messages: [user], ...over })
const completion = (over: object) => validate(completionBody, { prompt: 'Hi', ...over })

/** Asserts that parsing fails with this code and names this parameter. */
function refused(parse: () => unknown, code: string, param: string | null): void {
  assert.throws(parse, (thrown) => {
    const { status, body } = errorAnswer(thrown)
    assert.equal(status, 400)
    assert.deepEqual({ code: body.error.code, param: body.error.param }, { code, param }, body.error.message)
    if (param !== null) assert.ok(body.error.message.startsWith(`${param}: `), body.error.message)
    return true
  })
}

test('text parts are joined, and developer is another word for system', () => {
  const { messages } = chat({
    messages: [
      { role: 'developer', content: 'Be brief.' },
      {
        role: 'user',
        name: 'Ada',
        content: [
          { type: 'text', text: 'Hel' },
          { type: 'text', text: 'lo' },
        ],
      },
      { role: 'assistant', content: '', refusal: null },
      { role: 'assistant', content: null, refusal: 'I would rather not.' },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] },
    ],
  })
  assert.deepEqual(messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hello', name: 'Ada' },
    { role: 'assistant', content: '' },
    { role: 'assistant', content: 'I would rather not.' },
    { role: 'assistant', content: 'No.' },
  ])
})

test('a malformed message is named by its path', () => {
  const bad = (message: unknown, param: string) =>
    refused(() => chat({ messages: [user, message] }), 'invalid_request', param)
  bad('Hi', 'messages[1]')
  bad({ content: 'Hi' }, 'messages[1].role')
  bad({ role: 'wizard', content: 'Hi' }, 'messages[1].role')
  bad({ role: 'user' }, 'messages[1].content')
  bad({ role: 'user', content: null }, 'messages[1].content')
  bad({ role: 'user', content: ['Hi'] }, 'messages[1].content[0]')
  bad({ role: 'user', content: [{ type: 'text' }] }, 'messages[1].content[0].text')
  bad({ role: 'user', content: [{ text: 'Hi' }] }, 'messages[1].content[0].type')
  refused(() => chat({ messages: [] }), 'invalid_request', 'messages')
  refused(() => chat({ messages: 'Hi' }), 'invalid_request', 'messages')
  refused(() => validate(chatBody, {}), 'invalid_request', 'messages')
  refused(() => validate(chatBody, null), 'invalid_request', null)
})

test('an assistant may have nothing to say, call tools and have thought; a tool answers a call', () => {
  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x": 1}' } }
  const { messages } = chat({
    messages: [
      user,
      {
        role: 'assistant',
        content: null,
        reasoning_content: 'hm',
        tool_calls: [call, { function: { name: 'g', arguments: { y: 2 } } }],
      },
      { role: 'tool', tool_call_id: 'a', content: [{ type: 'text', text: '7' }] },
      { role: 'assistant', content: [] },
      { role: 'assistant', content: 'So', tool_calls: [] },
    ],
  })
  const toolCalls = [
    { id: 'a', name: 'f', arguments: '{"x": 1}' },
    { name: 'g', arguments: '{"y":2}' },
  ]
  assert.deepEqual(messages.slice(1), [
    { role: 'assistant', content: '', reasoning: 'hm', toolCalls },
    { role: 'tool', content: '7', toolCallId: 'a' },
    { role: 'assistant', content: '' },
    { role: 'assistant', content: 'So' },
  ])
  const bad = (message: unknown, param: string) =>
    refused(() => chat({ messages: [user, message] }), 'invalid_request', param)
  bad({ role: 'tool', content: '7' }, 'messages[1].tool_call_id')
  bad({ role: 'tool', tool_call_id: 'a' }, 'messages[1].content')
  bad({ role: 'user', content: 'x', tool_calls: [call] }, 'messages[1].tool_calls')
  bad({ role: 'assistant', tool_calls: [{ id: 'a' }] }, 'messages[1].tool_calls[0].function')
})

test('tools are functions with names of their own, and a choice is one of them', () => {
  const f = (name: string) => ({ type: 'function', function: { name, parameters: { type: 'object' } } })
  assert.equal(
    chat({ tools: [f('a'), f('b')], tool_choice: { type: 'function', function: { name: 'b' } } }).tools?.length,
    2,
  )
  assert.doesNotThrow(() => chat({ tools: [], tool_choice: 'auto' }))
  const bad = (over: object, param: string, code = 'invalid_request') => refused(() => chat(over), code, param)
  bad({ tools: [{ type: 'web_search' }] }, 'tools[0].type', 'unsupported')
  bad({ tools: [{ type: 'function' }] }, 'tools[0].function')
  bad({ tools: [f('a b')] }, 'tools[0].function.name')
  bad({ tools: [f('a'), f('a')] }, 'tools[1].function.name')
  bad({ tool_choice: 'required' }, 'tool_choice')
  bad({ tools: [f('a')], tool_choice: { type: 'function', function: { name: 'b' } } }, 'tool_choice.function.name')
  bad({ tools: [f('a')], tool_choice: 'any' }, 'tool_choice')
  const allowed = (...names: string[]) => ({
    type: 'allowed_tools',
    allowed_tools: { mode: 'auto', tools: names.map((name) => ({ type: 'function', function: { name } })) },
  })
  assert.doesNotThrow(() => chat({ tools: [f('a'), f('b')], tool_choice: allowed('b') }))
  const stranger = 'tool_choice.allowed_tools.tools[1].function.name'
  bad({ tools: [f('a')], tool_choice: allowed('a', 'b') }, stranger)
  bad({ tools: [f('a')], tool_choice: allowed() }, 'tool_choice.allowed_tools.tools')
})

test('parameters that need others', () => {
  refused(() => chat({ top_logprobs: 2 }), 'invalid_request', 'top_logprobs')
  refused(() => chat({ continue_final_message: true }), 'invalid_request', 'continue_final_message')
  assert.equal(chat({ max_tokens: -1 }).max_tokens, -1)
})

test('content and roles that OpenAI knows and this server does not are unsupported', () => {
  const bad = (message: unknown, param: string) =>
    refused(() => chat({ messages: [user, message] }), 'unsupported', param)
  const image = { type: 'image_url', image_url: { url: 'data:,' } }
  bad({ role: 'user', content: [{ type: 'text', text: 'What is this?' }, image] }, 'messages[1].content[1].type')
  bad({ role: 'function', content: '7', name: 'f' }, 'messages[1].role')
  bad({ role: 'assistant', content: null, function_call: { name: 'f' } }, 'messages[1].function_call')
})

test('parameters out of range are named', () => {
  const cases: [string, unknown[]][] = [
    ['model', [7, {}]],
    ['max_tokens', [-2, 1.5, '10', 1e300]],
    ['prompt_logprobs', [-1, 21, true]],
    ['frequency_penalty', [2.1, '0']],
    ['presence_penalty', [-2.1]],
    ['repetition_penalty', [0]],
    ['repeat_last_n', [-2, 1.5]],
    ['min_tokens', [-1, 1.5]],
    ['logit_bias', [7, '5']],
    ['temperature', [-0.1, 2.1, '1', true]],
    ['top_p', [-0.1, 1.1]],
    ['top_k', [-2, 0.5]],
    ['min_p', [-0.1, 1.1]],
    ['seed', [0.5, '7', 2 ** 60]],
    ['n', [0, 9, 1.5]],
    ['stream', ['true', 1]],
    ['stream_options', [true]],
    ['stop', ['', 7, {}, Array(17).fill('x')]],
    ['speculate', ['no', 0]],
  ]
  for (const [param, values] of cases) {
    for (const value of values) {
      refused(() => chat({ [param]: value }), 'invalid_request', param)
      refused(() => completion({ [param]: value }), 'invalid_request', param)
    }
  }
  refused(() => chat({ logit_bias: { 5: 101 } }), 'invalid_request', 'logit_bias.5')
  refused(() => chat({ logit_bias: { '': 1 } }), 'invalid_request', 'logit_bias.')
  refused(() => chat({ logit_bias: { word: true } }), 'invalid_request', 'logit_bias.word')
  refused(() => chat({ logit_bias: [[-1, 1]] }), 'invalid_request', 'logit_bias[0][0]')
  refused(() => chat({ logit_bias: [['word']] }), 'invalid_request', 'logit_bias[0]')
  refused(() => chat({ max_completion_tokens: 0 }), 'invalid_request', 'max_completion_tokens')
  refused(() => chat({ stop: ['x', 7] }), 'invalid_request', 'stop[1]')
  refused(
    () => chat({ stream: true, stream_options: { min_stability: 2 } }),
    'invalid_request',
    'stream_options.min_stability',
  )
  refused(() => chat({ stream_options: { include_usage: true } }), 'invalid_request', 'stream_options')
})

// For each parameter that is not honoured: values that ask for its effect, and values that do not.
const shared: Record<string, { asks: unknown[]; neutral: unknown[] }> = {
  guided_whitespace_pattern: { asks: ['[ ]?'], neutral: [] },
  grammar_lazy: { asks: [true], neutral: [false] },
}
const chatOnly: typeof shared = {
  functions: { asks: [[{ name: 'f' }]], neutral: [[]] },
  function_call: { asks: [{ name: 'f' }], neutral: ['none', 'auto'] },
  modalities: { asks: [['text', 'audio']], neutral: [['text']] },
  audio: { asks: [{ voice: 'alloy' }], neutral: [] },
  web_search_options: { asks: [{}], neutral: [] },
  moderation: { asks: [{ model: 'omni' }], neutral: [] },
  generation_prompt: { asks: ['<think>'], neutral: [''] },
  parse_tool_calls: { asks: [false], neutral: [true] },
  chat_template: { asks: ['{{ messages }}'], neutral: [] },
  documents: { asks: [[{ title: 'a', text: 'b' }]], neutral: [[]] },
  echo: { asks: [true], neutral: [false] },
  add_special_tokens: { asks: [true], neutral: [false] },
  include_reasoning: { asks: [false], neutral: [true] },
}
const completionOnly: typeof shared = {
  add_special_tokens: { asks: [false], neutral: [true] },
}

for (const [name, parse, table] of [
  ['chat', chat, { ...shared, ...chatOnly }],
  ['completion', completion, { ...shared, ...completionOnly }],
] as const) {
  test(`${name}: what cannot be honoured is refused by name, its neutral values are not`, () => {
    for (const [param, { asks, neutral }] of Object.entries(table)) {
      for (const value of asks) refused(() => parse({ [param]: value }), 'unsupported', param)
      for (const value of [null, undefined, ...neutral]) assert.doesNotThrow(() => parse({ [param]: value }), param)
    }
  })

  test(`${name}: null means not set, and fields without an effect on the text are ignored`, () => {
    const nothing = ['model', 'max_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'seed', 'n', 'stop', 'stream']
    const nulls = Object.fromEntries([...nothing, 'stream_options', 'speculate'].map((param) => [param, null]))
    const own = ['tier', 'service_tier', 'prediction', 'policy', 'alpha', 'min_stability', 'cache_prompt', 'cache_salt']
    for (const param of own) nulls[param] = null
    assert.doesNotThrow(() => parse(nulls))
    const harmless = { user: 'u', metadata: { a: 'b' }, store: true, prompt_cache_key: 'k', zzz: [1] }
    const parsed = parse(harmless)
    for (const param of Object.keys(harmless)) assert.ok(!(param in parsed), param)
  })
}

for (const [name, parse] of [
  ['chat', chat],
  ['completion', completion],
] as const) {
  const bad = (over: object, param: string) => refused(() => parse(over), 'invalid_request', param)
  const shown = { stream: true, stream_options: { include_provisional: true } }

  test(`${name}: a prediction is a text, or parts of it`, () => {
    const prediction = (content: unknown) => parse({ prediction: { type: 'content', content } }).prediction
    assert.equal(prediction('let a = 1'), 'let a = 1')
    const part = (text: string) => ({ type: 'text', text })
    assert.equal(prediction([part('let a'), part(' = 1')]), 'let a = 1')
    bad({ prediction: {} }, 'prediction.type')
    bad({ prediction: 'let a' }, 'prediction')
    bad({ prediction: { type: 'diff', content: 'x' } }, 'prediction.type')
    bad({ prediction: { type: 'content' } }, 'prediction.content')
    bad({ prediction: { type: 'content', content: [] } }, 'prediction.content')
    bad({ prediction: { type: 'content', content: ['x'] } }, 'prediction.content[0]')
    const image = { type: 'content', content: [part('x'), { type: 'image_url' }] }
    refused(() => parse({ prediction: image }), 'unsupported', 'prediction.content[1].type')
  })

  test(`${name}: tiers and salts have their values`, () => {
    for (const tier of ['npc', 'translation', 'code', 'analytics', 'chat', 'batch'])
      assert.equal(parse({ tier }).tier, tier)
    bad({ tier: 'vip' }, 'tier')
    bad({ tier: 'toString' }, 'tier')
    bad({ cache_salt: '' }, 'cache_salt')
    bad({ cache_salt: 7 }, 'cache_salt')
    bad({ cache_salt: 'x'.repeat(257) }, 'cache_salt')
    bad({ cache_prompt: 'no' }, 'cache_prompt')
  })

  test(`${name}: a lossy policy is asked for by name and with what it needs`, () => {
    assert.equal(parse({ policy: 'confident', min_stability: 0.95 }).min_stability, 0.95)
    assert.equal(parse({ policy: 'tolerant', alpha: 0.3, ...shown }).alpha, 0.3)
    bad({ policy: 'provisional', ...shown }, 'policy')
    bad({ policy: 'lossy' }, 'policy')
    // Nothing is kept that was not shown, and what is final is not shown before.
    bad({ policy: 'tolerant' }, 'policy')
    bad({ policy: 'tolerant', stream: true, stream_options: { include_usage: true } }, 'policy')
    bad({ policy: 'confident', ...shown }, 'policy')
    bad({ alpha: 0.5 }, 'alpha')
    bad({ alpha: 0.5, policy: 'confident' }, 'alpha')
    bad({ alpha: 1.5, policy: 'tolerant', ...shown }, 'alpha')
    bad({ min_stability: 0.5 }, 'min_stability')
    bad({ min_stability: 0.5, policy: 'tolerant', ...shown }, 'min_stability')
    bad({ min_stability: -1, policy: 'confident' }, 'min_stability')
  })
}

test('an empty list of stop strings is none', () => {
  assert.deepEqual(chat({ stop: [] }).stop, [])
})

test('a million wrong elements are refused as fast as one', () => {
  const wrong = Array(1_000_000).fill({})
  const begin = performance.now()
  refused(() => chat({ messages: wrong }), 'invalid_request', 'messages[0].role')
  refused(
    () => chat({ messages: [{ role: 'user', content: wrong }] }),
    'invalid_request',
    'messages[0].content[0].type',
  )
  refused(() => completion({ prompt: wrong }), 'invalid_request', 'prompt[0]')
  // Complaints about all of them took more than ten seconds; the bound leaves room for a busy machine.
  assert.ok(performance.now() - begin < 3000)
})

test('a prompt has several spellings', () => {
  assert.deepEqual(completion({ prompt: 'a' }).prompt, ['a'])
  assert.deepEqual(completion({ prompt: ['a', 'b'] }).prompt, ['a', 'b'])
  assert.deepEqual(completion({ prompt: [1, 2] }).prompt, [[1, 2]])
  assert.deepEqual(completion({ prompt: [[1], [2, 3]] }).prompt, [[1], [2, 3]])
  refused(() => validate(completionBody, {}), 'invalid_request', 'prompt')
  for (const prompt of [7, null, [], {}, [[]]]) {
    assert.throws(() => completion({ prompt }), /prompt/)
  }
  assert.deepEqual(completion({ prompt: ['a', [1, 2]] }).prompt, ['a', [1, 2]])
  refused(() => completion({ prompt: ['a', 1] }), 'invalid_request', 'prompt[1]')
  refused(() => completion({ prompt: [1, -1] }), 'invalid_request', 'prompt[1]')
  refused(() => completion({ prompt: Array(9).fill('a'), n: 8 }), 'invalid_request', 'prompt')
})
