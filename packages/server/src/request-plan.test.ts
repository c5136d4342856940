import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerateRequest, Policy } from '@incipit/engine/api'
import fc from 'fast-check'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { planChat, planCompletion } from './request-plan.ts'
import { validate } from './validate.ts'

const messages = [{ role: 'user', content: 'Hi' }]
const planned = (over: object) => planChat(validate(chatBody, { messages, ...over }))
const completed = (over: object) =>
  planCompletion(validate(completionBody, { prompt: 'Hi', ...over }), {
    vocabulary: 100,
    name: 'm',
    architecture: 'llama',
  })

/** The engine's request of a one-choice plan, without the seed. */
function only(choices: readonly GenerateRequest[]): Omit<GenerateRequest, 'seed'> {
  assert.equal(choices.length, 1)
  const { seed, ...rest } = choices[0]!
  assert.ok(Number.isSafeInteger(seed))
  return rest
}

test('what is not said is left to the engine, but for the defaults of OpenAI', () => {
  assert.deepEqual(only(planned({}).choices), { messages, temperature: 1 })
  assert.deepEqual(only(completed({}).choices), { prompt: 'Hi', temperature: 1, maxTokens: 16, parseSpecial: true })
})

test('every parameter reaches the engine', () => {
  const parameters = { temperature: 0, top_p: 0.5, top_k: 40, min_p: 0.1, stop: ['a', 'b'], max_tokens: 5 }
  const request = { temperature: 0, topP: 0.5, topK: 40, minP: 0.1, stop: ['a', 'b'], maxTokens: 5 }
  assert.deepEqual(only(planned(parameters).choices), { messages, ...request })
  assert.deepEqual(only(completed(parameters).choices), { prompt: 'Hi', ...request, parseSpecial: true })
})

test('penalties, bias, bounds and log-probabilities', () => {
  const parameters = {
    frequency_penalty: 0.5,
    presence_penalty: -1,
    repeat_penalty: 1.1,
    min_tokens: 3,
    ignore_eos: true,
  }
  const request = { frequencyPenalty: 0.5, presencePenalty: -1, repetitionPenalty: 1.1, minTokens: 3, ignoreEnd: true }
  assert.deepEqual(only(planned(parameters).choices), { messages, temperature: 1, ...request })
  const window = (last: number) => only(planned({ presence_penalty: 1, repeat_last_n: last }).choices)
  assert.deepEqual([window(9).penaltyWindow, window(-1).penaltyWindow], [9, Number.MAX_SAFE_INTEGER])
  assert.deepEqual([window(0).penaltyWindow, window(0).presencePenalty], [undefined, undefined])
  assert.deepEqual(only(planned({ logit_bias: { 5: -100 } }).choices).logitBias, { 5: -100 })
  const pairs = [
    [5, 1],
    [' five', -2],
    ['5', false],
  ]
  assert.deepEqual(only(planned({ logit_bias: pairs }).choices).logitBias, [...pairs.slice(0, 2), ['5', -100]])
  assert.equal('maxTokens' in only(planned({ max_tokens: -1 }).choices), false)
  assert.equal(only(planned({ logprobs: true, top_logprobs: 3 }).choices).logprobs, 3)
  assert.equal(only(completed({ logprobs: 2 }).choices).logprobs, 2)
  assert.equal('parseSpecial' in only(completed({ parse_special: false }).choices), false)
  assert.deepEqual(completed({ echo: true, n: 2 }).echo, ['Hi', 'Hi'])
})

test('how a conversation becomes a prompt', () => {
  const template = (over: object) => only(planned(over).choices).template
  assert.equal(template({}), undefined)
  assert.deepEqual(template({ chat_template_kwargs: { a: 1 }, enable_thinking: false })?.variables, {
    enable_thinking: false,
    a: 1,
  })
  assert.deepEqual(template({ reasoning_effort: 'none' })?.variables, {
    reasoning_effort: 'none',
    enable_thinking: false,
  })
  const continued = { messages: [...messages, { role: 'assistant', content: 'So' }] }
  assert.deepEqual(template(continued), { continueFinal: true })
  assert.equal(template({ ...continued, continue_final_message: false }), undefined)
  assert.deepEqual(template({ ...continued, add_generation_prompt: true }), { addGenerationPrompt: true })
})

test('tools: described by the template or by us, and every call enforced', () => {
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  const plan = (over: object, chatTemplate: string) =>
    planChat(validate(chatBody, { messages, tools, ...over }), {}, { chatTemplate })
  const native = plan({}, '{% if tools %}<tool_call>')
  assert.deepEqual(native.choices[0]!.template?.tools, tools)
  assert.deepEqual(native.choices[0]!.messages, messages)
  assert.equal(native.shape.tools?.format.name, 'hermes')
  const generic = plan({}, '{{ messages }}')
  assert.equal(generic.choices[0]!.template, undefined)
  assert.match(generic.choices[0]!.messages![0]!.content, /"name":"f"/)
  const constraint = (over: object) => {
    const declared = plan(over, '').choices[0]!.constraint
    assert.ok(declared?.type === 'structural_tag')
    return declared
  }
  assert.equal(constraint({}).atLeastOne, undefined)
  assert.equal(constraint({ tool_choice: 'required' }).atLeastOne, true)
  assert.equal(constraint({ parallel_tool_calls: false }).stopAfterFirst, true)
  const g = { type: 'function', function: { name: 'g' } }
  const tool_choice = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [g] } }
  const limited = plan({ tools: [...tools, g], tool_choice }, '{{ tools }}<tool_call>')
  assert.deepEqual(limited.choices[0]!.template?.tools, [g])
  assert.deepEqual(
    limited.shape.tools?.tools.map(({ name }) => name),
    ['g'],
  )
  assert.equal(constraint({ tools: [...tools, g], tool_choice }).atLeastOne, true)
  assert.equal(plan({ tool_choice: 'none' }, '').choices[0]!.constraint, undefined)
  assert.throws(() => plan({ guided_regex: 'a' }, ''), { code: 'unsupported', param: 'guided_regex' })
  assert.doesNotThrow(() => plan({ guided_regex: 'a', tool_choice: 'none' }, ''))
  const schema = { type: 'object', required: ['a'] }
  const form = { response_format: { type: 'json_schema', json_schema: { name: 'a', schema, strict: true } } }
  assert.deepEqual(constraint(form).otherwise?.schema, schema)
  assert.equal(plan(form, '').constraint?.form?.param, 'response_format.json_schema.schema')
  // Calls of this model begin as the reply might.
  assert.throws(() => plan(form, '{% if tools %}<|python_tag|>'), { code: 'unsupported' })
})

test('tools for a template that takes no system message, and wants the roles to take turns', () => {
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })
  const body = validate(chatBody, {
    tools,
    messages: [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call('a'), call('b')] },
      { role: 'tool', tool_call_id: 'a', content: '1' },
      { role: 'tool', tool_call_id: 'b', content: '2' },
    ],
  })
  const chatTemplate = "{{ raise_exception('System role not supported') }}"
  const [user, assistant, results, ...others] = planChat(body, {}, { chatTemplate }).choices[0]!.messages!
  assert.match(user!.content, /"name":"f"[\s\S]*\n\nHi$/)
  assert.equal(assistant!.content.match(/<tool_call>/g)?.length, 2)
  assert.deepEqual(results, {
    role: 'user',
    content: '<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>',
  })
  assert.deepEqual(others, [])
})

test('a model that speaks in channels is held to them, with tools and with a form', () => {
  const chatTemplate = '{{ tools }}<|channel|>final<|message|>'
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  const last = (over: object) => {
    const { choices, shape } = planChat(validate(chatBody, { messages, ...over }), {}, { chatTemplate }, 'optional')
    assert.ok(shape.channels && choices[0]!.showSpecial)
    const { constraint } = choices[0]!
    return constraint?.type === 'channels' ? constraint.last.map(({ begin, schema }) => [begin, schema]) : constraint
  }
  const answer = '<|channel|>final<|message|>'
  const schema = { type: 'object' }
  assert.equal(last({}), undefined)
  assert.deepEqual(last({ response_format: { type: 'json_object' } }), [[answer, schema]])
  const calls = ['<|channel|>commentary to=functions.f <|constrain|>json<|message|>', schema]
  assert.deepEqual((last({ tools }) as unknown[]).at(0), calls)
  assert.deepEqual((last({ tools }) as unknown[]).at(-1), [answer, undefined])
  assert.equal((last({ tools, tool_choice: 'required' }) as unknown[]).length, 3)
  const begun = { messages: [...messages, { role: 'assistant', content: 'So' }] }
  assert.deepEqual(last({ ...begun, response_format: { type: 'json_object' } }), [['', schema]])
  const pattern = (over: object) => {
    const { choices } = planChat(validate(chatBody, { messages, ...over }), {}, { chatTemplate }, 'optional')
    const { constraint } = choices[0]!
    return constraint?.type === 'channels' ? constraint.last.at(-1)!.pattern : constraint?.type
  }
  assert.equal(pattern({ guided_regex: '[a-z]/[0-9]' }), '[a-z]/[0-9]')
  assert.equal(pattern({ guided_choice: ['a.b', '(c)\nd/'], tools }), 'a\\.b|\\(c\\)\\nd/')
  // A grammar is held to behind the reasoning, and does not go with calls.
  const grammar = 'root ::= "yes"'
  assert.equal(pattern({ grammar }), 'grammar')
  assert.throws(() => pattern({ grammar, tools }), { code: 'unsupported', param: 'grammar' })
})

test('single parameters', () => {
  const request = (over: object) => only(planned(over).choices)
  assert.deepEqual(request({ stop: 'x' }).stop, ['x'])
  assert.equal(request({ top_k: -1 }).topK, 0)
  assert.equal(request({ max_completion_tokens: 7, max_tokens: 9 }).maxTokens, 7)
  assert.deepEqual(request({ speculate: false }).proposers, [])
  assert.equal('proposers' in request({ speculate: true }), false)
  assert.equal(request({ cache_prompt: false }).cachePrompt, false)
  assert.equal(request({ cache_salt: 'ann' }).cacheSalt, 'ann')
  const prediction = {
    type: 'content',
    content: [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ],
  }
  assert.equal(request({ prediction }).prediction, 'ab')
})

test('provisional text is asked for explicitly', () => {
  const request = (stream_options: object) => only(planned({ stream: true, stream_options }).choices)
  assert.equal('policy' in request({ include_usage: true, min_stability: 0 }), false)
  assert.equal(request({ include_provisional: true }).policy, 'provisional')
  assert.equal('minStability' in request({ include_provisional: true }), false)
  assert.equal(request({ include_provisional: true, min_stability: 0 }).minStability, 0)
})

test('a lossy policy is an explicit wish', () => {
  const shown = { stream: true, stream_options: { include_provisional: true, min_stability: 0.7 } }
  const policy = (over: object) => {
    const { choices, lossy } = planned(over)
    const { policy, alpha, minStability } = choices[0]!
    return { policy, alpha, minStability, lossy }
  }
  const nothing = { policy: undefined, alpha: undefined, minStability: undefined, lossy: false }
  assert.deepEqual(policy({}), nothing)
  assert.deepEqual(policy({ policy: 'committed' }), nothing)
  assert.deepEqual(policy(shown), { ...nothing, policy: 'provisional', minStability: 0.7 })
  const tolerant = { ...nothing, policy: 'tolerant', minStability: 0.7, lossy: true }
  assert.deepEqual(policy({ ...shown, policy: 'tolerant' }), tolerant)
  assert.deepEqual(policy({ ...shown, policy: 'tolerant', alpha: 0 }), { ...tolerant, alpha: 0 })
  const confident = { ...nothing, policy: 'confident', lossy: true }
  assert.deepEqual(policy({ policy: 'confident' }), confident)
  assert.deepEqual(policy({ policy: 'confident', min_stability: 0 }), { ...confident, minStability: 0 })
})

test('the server’s policy is for requests that say nothing about it', () => {
  const policy = (over: object, policy: Policy) => {
    const plan = planChat(validate(chatBody, { messages, ...over }), { policy, alpha: 0.2 })
    const { policy: planned = 'committed', alpha } = plan.choices[0]!
    return [planned, alpha, plan.lossy]
  }
  const stream = { stream: true }
  const shown = { stream: true, stream_options: { include_provisional: true } }
  const hidden = { stream: true, stream_options: { include_provisional: false } }
  for (const usual of ['provisional', 'tolerant', 'confident'] as const) {
    assert.deepEqual(policy({ policy: 'committed', ...stream }, usual), ['committed', undefined, false])
    assert.deepEqual(policy(hidden, usual), ['committed', undefined, false])
    assert.deepEqual(policy(shown, usual), ['provisional', undefined, false])
  }
  assert.deepEqual(policy(stream, 'provisional'), ['provisional', undefined, false])
  assert.deepEqual(policy({}, 'provisional'), ['committed', undefined, false])
  assert.deepEqual(policy(stream, 'tolerant'), ['tolerant', 0.2, true])
  assert.deepEqual(policy({ stream: true, stream_options: { include_usage: true } }, 'tolerant'), [
    'tolerant',
    0.2,
    true,
  ])
  assert.deepEqual(policy({}, 'tolerant'), ['committed', undefined, false])
  assert.deepEqual(policy({ policy: 'tolerant', alpha: 0.7, ...shown }, 'committed'), ['tolerant', 0.7, true])
  for (const body of [stream, {}]) assert.deepEqual(policy(body, 'confident'), ['confident', undefined, true])
})

test('the tier is the one of the body, of OpenAI’s flex, or of the server', () => {
  const tier = (over: object, defaults = {}) =>
    planChat(validate(chatBody, { messages, ...over }), defaults).choices[0]!.tier
  assert.equal(tier({}), undefined)
  assert.equal(tier({}, { tier: 'npc' }), 'npc')
  assert.equal(tier({ tier: 'code' }, { tier: 'npc' }), 'code')
  assert.equal(tier({ service_tier: 'flex' }, { tier: 'npc' }), 'batch')
  assert.equal(tier({ service_tier: 'flex', tier: 'code' }), 'code')
  for (const service_tier of ['auto', 'default', 'priority', 'scale']) assert.equal(tier({ service_tier }), undefined)
  const { choices } = planCompletion(
    validate(completionBody, { prompt: 'Hi' }),
    { vocabulary: 100, name: 'm', architecture: 'llama' },
    { tier: 'npc' },
  )
  assert.equal(choices[0]!.tier, 'npc')
})

test('choices go through the prompts in order and raise the seed', () => {
  const { choices, n } = completed({ prompt: ['a', [1, 2]], n: 3, seed: 40 })
  assert.equal(n, 3)
  assert.deepEqual(
    choices.map(({ prompt, seed }) => [prompt, seed]),
    [
      ['a', 40],
      ['a', 41],
      ['a', 42],
      [[1, 2], 40],
      [[1, 2], 41],
      [[1, 2], 42],
    ],
  )
})

test('without a seed equal requests get different ones', () => {
  const seeds = new Set(Array.from({ length: 20 }, () => planned({}).choices[0]!.seed))
  // Two equal ones among twenty of 2^31 come once in ten million runs.
  assert.equal(seeds.size, 20)
})

test('token ids outside the vocabulary never reach the engine', () => {
  assert.throws(() => completed({ prompt: [99, 100] }), { code: 'invalid_request', param: 'prompt' })
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(120), { minLength: 1 }), { minLength: 1, maxLength: 5 }), (prompt) => {
      const sound = prompt.flat().every((token) => token < 100)
      if (sound)
        assert.deepEqual(
          completed({ prompt }).choices.map((choice) => choice.prompt),
          prompt,
        )
      else assert.throws(() => completed({ prompt }), { code: 'invalid_request' })
    }),
  )
})
