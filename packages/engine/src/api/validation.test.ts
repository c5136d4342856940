import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StructuralTag } from './constraint.ts'
import type { LogitBias } from './logit-bias.ts'
import type { GenerateRequest } from './request.ts'
import { tiers } from './tiers.ts'
import { normalise } from './validation.ts'

test('defaults: greedy, committed text only, no bound', () => {
  assert.deepEqual(normalise({ prompt: 'x' }), {
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 },
    penalties: { frequency: 0, presence: 0, repetition: 1 },
    logitBias: [],
    constraint: undefined,
    beginsWith: '',
    reasoningBudget: undefined,
    minTokens: 0,
    maxTokens: Number.MAX_SAFE_INTEGER,
    logprobs: undefined,
    promptLogprobs: undefined,
    stop: [],
    policy: 'committed',
    tier: tiers.chat,
    alpha: 0.5,
    minStability: undefined,
    proposers: undefined,
  })
})

test('exactly one of prompt and messages', () => {
  const messages = [{ role: 'user', content: 'x' }]
  assert.throws(() => normalise({}), { code: 'invalid_request', param: 'prompt' })
  assert.throws(() => normalise({ prompt: 'x', messages }), { code: 'invalid_request', param: 'prompt' })
  assert.throws(() => normalise({ messages: [] }), { code: 'invalid_request', param: 'messages' })
  assert.doesNotThrow(() => normalise({ messages }))
  assert.doesNotThrow(() => normalise({ prompt: [1, 2] }))
})

const wrong: [Partial<GenerateRequest>, string][] = [
  [{ temperature: -1 }, 'temperature'],
  [{ temperature: Number.NaN }, 'temperature'],
  [{ temperature: Number.POSITIVE_INFINITY }, 'temperature'],
  [{ topP: 1.1 }, 'topP'],
  [{ topP: -0.1 }, 'topP'],
  [{ topK: 1.5 }, 'topK'],
  [{ topK: -1 }, 'topK'],
  [{ minP: 2 }, 'minP'],
  [{ seed: 0.5 }, 'seed'],
  [{ seed: Number.NaN }, 'seed'],
  [{ maxTokens: -1 }, 'maxTokens'],
  [{ maxTokens: 2.5 }, 'maxTokens'],
  [{ minStability: 1.5 }, 'minStability'],
  [{ frequencyPenalty: 2.1 }, 'frequencyPenalty'],
  [{ presencePenalty: -3 }, 'presencePenalty'],
  [{ repetitionPenalty: 0 }, 'repetitionPenalty'],
  [{ penaltyWindow: 0 }, 'penaltyWindow'],
  [{ minTokens: -1 }, 'minTokens'],
  [{ logprobs: 21 }, 'logprobs'],
  [{ logprobs: 1, policy: 'confident' }, 'logprobs'],
  [{ logitBias: { 5: 101 } }, 'logitBias'],
  [{ logitBias: { x: '1' as unknown as number } }, 'logitBias'],
  [{ logitBias: [['', 1]] }, 'logitBias'],
  [{ logitBias: [[1.5, 1]] }, 'logitBias'],
  [{ constraint: { type: 'poem' } as unknown as { type: 'regex'; pattern: string } }, 'constraint.type'],
  [{ constraint: { type: 'regex', pattern: 7 as unknown as string } }, 'constraint.pattern'],
  [{ constraint: { type: 'grammar', grammar: 'a', syntax: 'x' as 'gbnf' } }, 'constraint.syntax'],
  [{ constraint: { type: 'choice', choices: 'yes' as unknown as string[] } }, 'constraint.choices'],
  [
    { constraint: { type: 'structural_tag', triggers: ['<'], tags: [null as unknown as StructuralTag] } },
    'constraint.tags',
  ],
  [{ beginsWith: 'x', constraint: { type: 'regex', pattern: 'y' } }, 'beginsWith'],
  [{ beginsWith: 5 as unknown as string }, 'beginsWith'],
  // As they come from JSON or from JavaScript callers.
  [{ temperature: '0.5' as unknown as number }, 'temperature'],
  [{ policy: 'tolerantish' as 'committed' }, 'policy'],
  [{ proposers: ['psychic' as 'skim'] }, 'proposers'],
]
for (const [request, param] of wrong) {
  test(`${JSON.stringify(request)} is refused, and the error names ${param}`, () => {
    assert.throws(() => normalise({ prompt: 'x', ...request }), {
      name: 'IncipitError',
      code: 'invalid_request',
      param,
      message: new RegExp(param),
    })
  })
}

test('biases are by id or text: digits are an id in an object, and a text in a list', () => {
  const biases = (logitBias: LogitBias) => normalise({ prompt: 'x', logitBias }).logitBias
  assert.deepEqual(biases({ 5: 1, ' five': -100 }), [
    [5, 1],
    [' five', -100],
  ])
  assert.deepEqual(biases([['5', 1]]), [['5', 1]])
})

test('the extremes are allowed', () => {
  const request = { prompt: 'x', temperature: 0, topP: 0, topK: 0, minP: 1, seed: -7, maxTokens: 1, minStability: 0 }
  const { sampling, maxTokens, minStability } = normalise(request)
  assert.deepEqual(sampling, { temperature: 0, topP: 0, topK: 0, minP: 1, seed: -7 })
  assert.deepEqual([maxTokens, minStability], [1, 0])
  assert.deepEqual(normalise({ prompt: 'x', proposers: [] }).proposers, [])
})
