import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Constraint } from '@incipit/engine/api'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { checkConstraint, constraintOf } from './constraint.ts'
import { errorAnswer } from './errors.ts'
import { validate } from './validate.ts'

const messages = [{ role: 'user', content: 'Hi' }]
const declared = (over: object) => {
  const one = constraintOf(validate(chatBody, { messages, ...over }))
  // They mean the same in both.
  assert.deepEqual(constraintOf(validate(completionBody, { prompt: 'Hi', ...over })), one)
  return one
}
const schema = { type: 'object', properties: { a: { type: 'integer' } } }

test('every spelling says the same few things', () => {
  const json = { type: 'json_schema', schema } as const
  const object = { type: 'json_schema', schema: { type: 'object' } } as const
  const grammar = { type: 'grammar', grammar: 'root ::= "a"' } as const
  const tags = { structures: [{ begin: '<f=a>', schema, end: '</f>' }], triggers: ['<f='] }
  const tagged = { type: 'structural_tag', tags: tags.structures, triggers: tags.triggers } as const
  const openai = (strict?: boolean) => ({
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'x', schema, ...(strict !== undefined && { strict }) },
    },
  })
  const cases: [object, Constraint, string][] = [
    [openai(true), json, 'response_format.json_schema.schema'],
    [openai(false), { ...json, lenient: true }, 'response_format.json_schema.schema'],
    [openai(), { ...json, lenient: true }, 'response_format.json_schema.schema'],
    [{ response_format: { type: 'json_object' } }, object, 'response_format.schema'],
    [{ response_format: { type: 'json_object', schema } }, json, 'response_format.schema'],
    [{ response_format: { type: 'json_schema', schema } }, { ...json, lenient: true }, 'response_format.schema'],
    [{ response_format: { type: 'structural_tag', ...tags } }, tagged, 'response_format'],
    [{ json_schema: schema }, json, 'json_schema'],
    [{ grammar: 'root ::= "a"' }, grammar, 'grammar'],
    [{ guided_json: schema }, json, 'guided_json'],
    [{ guided_json: JSON.stringify(schema) }, json, 'guided_json'],
    [{ guided_regex: 'a+' }, { type: 'regex', pattern: 'a+' }, 'guided_regex'],
    [{ guided_choice: ['a', 'b'] }, { type: 'choice', choices: ['a', 'b'] }, 'guided_choice'],
    [{ guided_grammar: 'root ::= "a"' }, grammar, 'guided_grammar'],
    [{ structured_outputs: { json: schema } }, json, 'structured_outputs.json'],
    [{ structured_outputs: { regex: 'a+' } }, { type: 'regex', pattern: 'a+' }, 'structured_outputs.regex'],
    [{ structured_outputs: { choice: ['a'] } }, { type: 'choice', choices: ['a'] }, 'structured_outputs.choice'],
    [{ structured_outputs: { grammar: 'root ::= "a"' } }, grammar, 'structured_outputs.grammar'],
    [{ structured_outputs: { json_object: true } }, object, 'structured_outputs.json_object'],
    [
      { structured_outputs: { structural_tag: JSON.stringify({ type: 'structural_tag', ...tags }) } },
      tagged,
      'structured_outputs.structural_tag',
    ],
  ]
  for (const [body, constraint, param] of cases) assert.deepEqual(declared(body), { constraint, param })
  for (const nothing of [{}, { response_format: { type: 'text' } }, { grammar: '' }, { json_schema: null }]) {
    assert.equal(declared(nothing), undefined)
  }
})

test('what is malformed, half said or said twice is refused by its path', () => {
  const refused = (over: object, param: string) =>
    assert.throws(
      () => declared(over),
      (error) => {
        const { status, body } = errorAnswer(error)
        assert.deepEqual([status, body.error.code, body.error.param], [400, 'invalid_request', param])
        return true
      },
    )
  refused({ response_format: 'json' }, 'response_format')
  refused({ response_format: { type: 'xml' } }, 'response_format.type')
  refused({ response_format: { type: 'json_schema' } }, 'response_format.json_schema.schema')
  refused(
    { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
    'response_format.json_schema.schema',
  )
  refused({ json_schema: 'x' }, 'json_schema')
  refused({ guided_json: '{' }, 'guided_json')
  refused({ guided_choice: [] }, 'guided_choice')
  refused({ guided_choice: [''] }, 'guided_choice[0]')
  refused(
    { structured_outputs: { structural_tag: '{"type": "structural_tag"}' } },
    'structured_outputs.structural_tag.structures',
  )
  refused({ json_schema: schema, grammar: 'root ::= "a"' }, 'grammar')
  refused({ response_format: { type: 'json_object' }, guided_regex: 'a' }, 'guided_regex')
  refused({ structured_outputs: { regex: 'a', choice: ['a'] } }, 'structured_outputs.choice')
})

test('what does not compile is refused with its place in the body', async () => {
  const one = { constraint: { type: 'json_schema', schema }, param: 'json_schema' } as const
  const throwing = (error: object) => ({ check: () => Promise.reject(Object.assign(new Error('x'), error)) })
  await assert.rejects(checkConstraint(throwing({ path: 'properties.a', reason: 'no' }), one), {
    code: 'invalid_request',
    param: 'json_schema.properties.a',
    message: 'json_schema.properties.a: no',
  })
  await assert.rejects(checkConstraint(throwing({ reason: 'no' }), one), {
    param: 'json_schema',
    message: 'json_schema: no',
  })
  await checkConstraint({ check: async () => {} }, one)
  await checkConstraint(throwing({}), undefined)
  await checkConstraint(undefined, one)
})
