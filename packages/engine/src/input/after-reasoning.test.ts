import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { standsAsDirectly, steps } from '../../test/back-and-forth.ts'
import { RuledState } from '../../test/fixtures/constraints.ts'
import { reasoningAt, reasoningMarkers } from '../api/reasoning.ts'
import { allows, maskOf } from '../core/sampling/token-mask.ts'
import { AfterReasoning, ReasoningTokens } from './after-reasoning.ts'

const pieces = ['<think>', '</think>', '<', 'think', '>', '</', '\n', ' ', 'a', 'b', '{', '}', 'x>\n', '<end>']
const end = 13
const control = new Set([0, 1, end])
const markers = { start: '<think>', end: '</think>' }
const tokens = new ReasoningTokens(markers, {
  size: pieces.length,
  endTokens: [end],
  bytesOf: (token) => Buffer.from(control.has(token) ? '' : pieces[token]!),
  specialText: (token) => pieces[token]!,
})
const id = (text: string) => pieces.indexOf(text)

/** `{` a or b `}`, then the end. */
const answer = [[id('{')], [id('a'), id('b')], [id('}')], [end]]
const constraint = () =>
  new RuledState({
    allowed: (reply) => maskOf(answer[reply.length] ?? [end], pieces.length),
    forced: (reply) => (answer[reply.length]?.length === 1 ? answer[reply.length]! : []),
  })

const allowed = (state: AfterReasoning) =>
  pieces.filter((_, token) => allows(state.mask(), token)).map((text) => text.replace('\n', '\\n'))

/** What may follow at each place of a reply. */
function walk(from: 'open' | 'optional', ...reply: string[]): string[] {
  const state = new AfterReasoning(constraint(), tokens, from)
  for (const text of reply) {
    assert.ok(allows(state.mask(), id(text)), `${text} after ${reply}`)
    state.advance(id(text))
  }
  return allowed(state)
}

const all = pieces.filter((text) => text !== '<end>').map((text) => text.replace('\n', '\\n'))

test('open reasoning says what it wants, and does not end the reply; then the constraint holds', () => {
  assert.deepEqual(walk('open'), all)
  assert.deepEqual(walk('open', '{', 'a', '<think>', '</'), all)
  for (const ending of [['</think>'], ['</', 'think', '>'], ['</', 'think', 'x>\n', '</think>']]) {
    assert.deepEqual(walk('open', 'a', ...ending), ['\\n', ' ', '{'])
    assert.deepEqual(walk('open', 'a', ...ending, '\n'), ['\\n', ' ', '{'])
    // Of white space there is an end.
    assert.deepEqual(walk('open', 'a', ...ending, '\n', '\n'), ['{'])
    assert.deepEqual(walk('open', ...ending, '\n', '{'), ['a', 'b'])
    assert.deepEqual(walk('open', ...ending, '{', 'b', '}'), ['<end>'])
  }
})

test('where the reply may think or not, it begins with the marker or with the answer', () => {
  assert.deepEqual(walk('optional'), ['<think>', '<', '{'])
  assert.deepEqual(walk('optional', '<'), ['think'])
  assert.deepEqual(walk('optional', '<', 'think'), ['>'])
  assert.deepEqual(walk('optional', '<', 'think', '>'), all)
  assert.deepEqual(walk('optional', '<think>'), all)
  assert.deepEqual(walk('optional', '<think>', 'a', '</think>'), ['\\n', ' ', '{'])
  assert.deepEqual(walk('optional', '{'), ['a', 'b'])
})

test('back and forth it stands where whoever came there directly stands', () => {
  fc.assert(
    fc.property(fc.constantFrom('open' as const, 'optional' as const), steps, (from, walk) => {
      standsAsDirectly(() => new AfterReasoning(constraint(), tokens, from), walk, {
        vocabulary: pieces.length,
        draft: [1, id('\n'), id('{'), id('a')],
        says: (token) => token !== end,
      })
    }),
  )
})

test('templates tell the markers, and a prompt where it leaves the model', () => {
  assert.deepEqual(reasoningMarkers('... <think>{{ reasoning }}</think> ...'), markers)
  assert.equal(reasoningMarkers('[INST] {{ x }} [/INST] [THINK] [/THINK]')?.end, '[/THINK]')
  assert.equal(reasoningMarkers('<|start|>assistant<|channel|>final<|message|>')?.end, '<|channel|>final<|message|>')
  assert.equal(reasoningMarkers('<|im_start|>{{ role }}'), undefined)
  const at = (tail: string) => reasoningAt(tail, markers)
  assert.equal(at('<|im_start|>assistant\n<think>\n'), 'open')
  assert.equal(at('<|im_start|>assistant\n<think>\n\n</think>\n\n'), 'closed')
  assert.equal(at('<|im_start|>assistant\n'), 'optional')
  assert.equal(at('what does </think> mean?<|im_end|>\n<|im_start|>assistant\n'), 'optional')
})
