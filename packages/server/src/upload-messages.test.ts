import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chatBody } from './chat-body.ts'
import { type Arrived, ArrivingMessages } from './upload-messages.ts'

/** What is known of a body after each of its bytes, without repetitions. */
function bytewise(text: string): (Arrived | undefined)[] {
  const arriving = new ArrivingMessages()
  const seen: (Arrived | undefined)[] = []
  for (const byte of Buffer.from(text)) {
    arriving.write(Uint8Array.of(byte))
    const now = arriving.read()
    if (JSON.stringify(now) !== JSON.stringify(seen.at(-1))) seen.push(now)
  }
  return seen
}

const contents = (all: (Arrived | undefined)[]) =>
  all.map((one) => one?.open && `${one.open.role}: ${one.open.content}`)

test('a message is there as far as it has come', () => {
  const seen = bytewise('{"model": "m", "messages": [{"role": "system", "content": "a\\né"}], "n": 1}')
  const texts = ['system: ', 'system: a', 'system: a\n', 'system: a\né']
  // The second one knows the model.
  assert.deepEqual(contents(seen), [undefined, undefined, ...texts, undefined])
  assert.deepEqual(seen.at(-1), { messages: [{ role: 'system', content: 'a\né' }], model: 'm' })
})

test('a text that comes before its role is taken for the user’s until the role is there', () => {
  const seen = bytewise('{"messages": [{"content": "ab", "role": "assistant"}]}')
  assert.deepEqual(contents(seen), [undefined, 'user: ', 'user: a', 'user: ab', 'assistant: ab', undefined])
})

test('text in parts is joined, whichever of type and text comes first', () => {
  const seen = bytewise(
    '{"messages":[{"role":"user","content":[{"type":"text","text":"ab"},{"text":"cd","type":"text"}]}]}',
  )
  // A part that has no text yet is not known to be sound, and in between nothing is told.
  const texts = new Set(contents(seen).filter((text) => text !== undefined))
  assert.deepEqual([...texts], ['user: ', 'user: a', 'user: ab', 'user: abc', 'user: abcd'])
})

test('a character that is split over chunks or escapes is never half there', () => {
  for (const text of [
    '{"messages":[{"role":"user","content":"🦜"}]}',
    '{"messages":[{"role":"user","content":"\\ud83e\\udd9c"}]}',
  ]) {
    assert.deepEqual(contents(bytewise(text)), [undefined, 'user: ', 'user: 🦜', undefined])
  }
})

test('what the schema refuses is not worth any work', () => {
  for (const message of [
    '{"role":"tool","content":"x"}',
    '{"role":"user","content":7}',
    '{"role":"user"}',
    '7',
    'null',
  ]) {
    assert.equal(bytewise(`{"messages":[${message},{"role":"user","content":"x"}]}`).at(-1), undefined, message)
  }
})

test('a second key of the same name replaces the first, as it does for JSON.parse', () => {
  const last = (text: string) => bytewise(text).at(-1)
  const first =
    '{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}],"messages":[{"role":"user","content":'
  assert.deepEqual(last(`${first}"c`), { messages: [], open: { role: 'user', content: 'c' } })
  assert.deepEqual(last(`${first}"c"}]}`), { messages: [{ role: 'user', content: 'c' }] })
})

test('what the body says of its cache is told once it is there', () => {
  const cache = (text: string) =>
    bytewise(text).map((one) => one && { salt: one.cacheSalt, cold: one.cold, texts: one.messages.length })
  const message = '{"role":"user","content":"a"}'
  assert.deepEqual(cache(`{"cache_salt":"x","messages":[${message}],"cache_prompt":false}`).slice(-1), [
    { salt: 'x', cold: true, texts: 1 },
  ])
  const first = cache(`{"cache_salt":"xyz","messages":[${message}]}`)
  assert.deepEqual(new Set(first.map((one) => one?.salt)), new Set([undefined, 'xyz']))
  assert.ok(first.every((one) => one?.texts === 0 || one?.salt === 'xyz'))
  const none = cache(
    `{"cache_salt":null,"cache_prompt":true,"messages":[{"role":"user","cache_salt":"y","content":"a"}]}`,
  )
  assert.deepEqual(none.at(-1), { salt: undefined, cold: undefined, texts: 1 })
})

test('what cannot be JSON throws', () => {
  assert.throws(() => bytewise('{"messages":[}'))
  assert.throws(() => new ArrivingMessages().write(Uint8Array.of(0x7b, 0x22, 0xff, 0xff, 0xff, 0xff, 0x22)))
})

const text = fc.string({ unit: 'binary', maxLength: 12 })
const content = fc.oneof(
  text,
  fc.array(
    text.map((part) => ({ type: 'text', text: part })),
    { minLength: 1, maxLength: 3 },
  ),
)
const role = fc.constantFrom('system', 'developer', 'user', 'assistant')
const message = fc.oneof(
  fc.record({ role, content }),
  fc.record({ content, role }),
  fc.record({ role, content, name: fc.constantFrom('Ann', 'Bob') }),
)
const body = fc.record({ model: text, messages: fc.array(message, { minLength: 1, maxLength: 4 }), n: fc.nat() })

test('however a body is cut, messages only grow and end as the whole body’s', () => {
  const property = fc.property(
    body,
    fc.boolean(),
    fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
    (value, spaced, sizes) => {
      const bytes = Buffer.from(JSON.stringify(value, null, spaced ? 2 : 0))
      const arriving = new ArrivingMessages()
      let former: Arrived = { messages: [] }
      for (let at = 0; at < bytes.length; ) {
        const end = at + sizes.next().value!
        arriving.write(bytes.subarray(at, end))
        at = end
        const now = arriving.read()
        assert.ok(now !== undefined)
        const { length } = former.messages
        assert.deepEqual(now.messages.slice(0, length), former.messages)
        const open = now.messages[length] ?? now.open
        if (former.open && open) assert.ok(open.content.startsWith(former.open.content))
        former = now
      }
      const { model } = value
      assert.deepEqual(former, {
        messages: chatBody.shape.messages.parse(value.messages),
        ...(model !== '' && { model }),
      })
    },
  )
  fc.assert(property, { numRuns: 300 })
})
