import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { standsAsDirectly, steps } from '../../test/back-and-forth.ts'
import { RuledState } from '../../test/fixtures/constraints.ts'
import { reasoningMarkers } from '../api/reasoning.ts'
import { allows, maskOf } from '../core/sampling/token-mask.ts'
import { BoundedReasoning } from './bounded-reasoning.ts'

const tags = { start: '<think>', end: '</think>' }
const harmony = reasoningMarkers('<|start|>assistant<|channel|>final<|message|>')!

const pieces = ['<think>', '</think>', '<', 'think', '>', '\n', 'a', 'b', '<end>']
const id = (text: string) => pieces.indexOf(text)

/** What may follow at each place of a reply whose reasoning is bounded. */
function walk(budget: number, from: 'inside' | 'outside', ...reply: string[]): string[] {
  const bound = { markers: tags, budget, ending: [1], textOf: (token: number) => pieces[token]!, size: pieces.length }
  const state = new BoundedReasoning(bound, undefined, from)
  for (const text of reply) {
    assert.ok(allows(state.mask(), id(text)), `${text} after ${reply}`)
    state.advance(id(text))
  }
  return pieces.filter((_, token) => allows(state.mask(), token))
}

test('reasoning that was long enough ends, and what follows is free', () => {
  assert.deepEqual(walk(2, 'inside'), pieces)
  assert.deepEqual(walk(2, 'inside', 'a'), pieces)
  assert.deepEqual(walk(2, 'inside', 'a', 'b'), ['</think>'])
  assert.deepEqual(walk(2, 'inside', 'a', 'b', '</think>', 'a', '<think>', 'a', 'a', 'a'), pieces)
  assert.deepEqual(walk(0, 'inside'), ['</think>'])
  // It may end before, and a reply without reasoning has no bound.
  assert.deepEqual(walk(2, 'inside', 'a', '</think>', 'a', 'b'), pieces)
  assert.deepEqual(walk(2, 'outside', 'a', 'b', 'a'), pieces)
  assert.deepEqual(walk(1, 'outside', '\n', '<', 'think', '>'), pieces)
  assert.deepEqual(walk(1, 'outside', '\n', '<', 'think', '>', 'a'), ['</think>'])
  // What only looks like the beginning of the marker is an answer.
  assert.deepEqual(walk(1, 'outside', '<', 'a', 'a', 'a'), pieces)
})

test('a marker of several tokens is forced token by token, and a character is not cut', () => {
  const bytes = ['<', '/t>', 'a', Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)]
  const decoder = new TextDecoder()
  const textOf = (token: number) => decoder.decode(Buffer.from(bytes[token]!))
  const bound = { markers: { start: '<t>', end: '</t>' }, budget: 1, ending: [0, 1], textOf, size: bytes.length }
  const may = (...reply: number[]) => {
    const state = new BoundedReasoning(bound, undefined, 'inside')
    for (const token of reply) state.advance(token)
    return bytes.flatMap((_, token) => (allows(state.mask(), token) ? [token] : []))
  }
  const all = [0, 1, 2, 3, 4]
  assert.deepEqual(may(2), [0])
  assert.deepEqual(may(2, 0), [1])
  assert.deepEqual(may(2, 0, 1), all)
  assert.deepEqual(may(3), all)
  assert.deepEqual(may(3, 4, 2), [0])
  assert.deepEqual(may(3, 4, 3, 4), [0])
})

const messages = [
  '<|channel|>',
  'analysis',
  'final',
  'commentary',
  '<|message|>',
  '<|end|>',
  '<|start|>',
  'assistant',
  'a',
]
const inMessages = (text: string) =>
  text
    .split(/(<\|\w+\|>)/)
    .filter(Boolean)
    .map((piece) => messages.indexOf(piece))
const channels = {
  markers: harmony,
  budget: 2,
  ending: inMessages('<|end|><|start|>assistant<|channel|>final<|message|>'),
  textOf: (token: number) => messages[token]!,
  size: messages.length,
}

test('in channels all thoughts together are bounded, then the answer begins', () => {
  const state = new BoundedReasoning(channels, undefined, 'outside')
  const say = (text: string) => {
    for (const token of inMessages(text)) state.advance(token)
  }
  say('<|channel|>analysis<|message|>')
  say('a')
  assert.equal(state.mask(), undefined)
  say('<|end|><|start|>assistant<|channel|>commentary<|message|>')
  for (let i = 0; i < 5; i++) say('a')
  assert.equal(state.mask(), undefined)
  say('<|end|><|start|>assistant<|channel|>analysis<|message|>')
  say('a')
  assert.deepEqual(state.forced(), channels.ending)
  say('<|end|><|start|>assistant<|channel|>final<|message|>')
  for (let i = 0; i < 5; i++) say('a')
  assert.equal(state.mask(), undefined)
})

test('where the reply must not answer, such as where it must call, only its way out of the reasoning is forced', () => {
  const not = messages.indexOf('final')
  const others = messages.flatMap((_, token) => (token === not ? [] : [token]))
  const noAnswer = new RuledState({ allowed: () => maskOf(others, messages.length), forced: () => [] })
  const state = new BoundedReasoning({ ...channels, budget: 0 }, noAnswer, 'outside')
  for (const token of inMessages('<|channel|>analysis<|message|>')) state.advance(token)
  const out = inMessages('<|end|><|start|>assistant<|channel|>')
  assert.deepEqual(state.forced(), out)
  assert.equal(state.allowedLength([...out, messages.indexOf('commentary')]), out.length + 1)
  assert.equal(state.allowedLength([out[0]!, messages.indexOf('a')]), 1)
  for (const token of out) state.advance(token)
  assert.deepEqual(state.mask(), noAnswer.mask())
})

test('back and forth it stands where whoever came there directly stands', () => {
  fc.assert(
    fc.property(fc.constantFrom('inside' as const, 'outside' as const), fc.nat(4), steps, (from, budget, walk) => {
      const bound = { markers: tags, budget, ending: [2, 3, 4], textOf: (token: number) => pieces[token]!, size: 9 }
      const begin = () => new BoundedReasoning(bound, undefined, from)
      standsAsDirectly(begin, walk, { vocabulary: pieces.length, draft: [2, 3, 4, 6] })
    }),
  )
})
