import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerateRequest } from '@incipit/engine'
import fc from 'fast-check'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { planChat, planCompletion } from './plan.ts'
import { validate } from './validate.ts'

const messages = [{ role: 'user', content: 'Hi' }]
const planned = (over: object) => planChat(validate(chatBody, { messages, ...over }))
const completed = (over: object) =>
  planCompletion(validate(completionBody, { prompt: 'Hi', ...over }), { vocabulary: 100 })

/** The engine's request of a one-choice plan, without the seed. */
function only(choices: readonly GenerateRequest[]): Omit<GenerateRequest, 'seed'> {
  assert.equal(choices.length, 1)
  const { seed, ...rest } = choices[0]!
  assert.ok(Number.isSafeInteger(seed))
  return rest
}

test('what is not said is left to the engine, but for the defaults of OpenAI', () => {
  assert.deepEqual(only(planned({}).choices), { messages, temperature: 1 })
  assert.deepEqual(only(completed({}).choices), { prompt: 'Hi', temperature: 1, maxTokens: 16 })
})

test('every parameter reaches the engine', () => {
  const parameters = { temperature: 0, top_p: 0.5, top_k: 40, min_p: 0.1, stop: ['a', 'b'], max_tokens: 5 }
  const request = { temperature: 0, topP: 0.5, topK: 40, minP: 0.1, stop: ['a', 'b'], maxTokens: 5 }
  assert.deepEqual(only(planned(parameters).choices), { messages, ...request })
  assert.deepEqual(only(completed(parameters).choices), { prompt: 'Hi', ...request })
})

test('single parameters', () => {
  const request = (over: object) => only(planned(over).choices)
  assert.deepEqual(request({ stop: 'x' }).stop, ['x'])
  assert.equal(request({ top_k: -1 }).topK, 0)
  assert.equal(request({ max_completion_tokens: 7, max_tokens: 9 }).maxTokens, 7)
  assert.deepEqual(request({ speculate: false }).proposers, [])
  assert.equal('proposers' in request({ speculate: true }), false)
})

test('provisional text is asked for explicitly', () => {
  const request = (stream_options: object) => only(planned({ stream: true, stream_options }).choices)
  assert.equal('policy' in request({ include_usage: true, min_stability: 0 }), false)
  assert.equal(request({ include_provisional: true }).policy, 'provisional')
  assert.equal('minStability' in request({ include_provisional: true }), false)
  assert.equal(request({ include_provisional: true, min_stability: 0 }).minStability, 0)
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
