import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Detokenizer } from './detokenize.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const reference = (bytes: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)

/** A vocabulary of exactly these pieces: token i is the i-th. */
const over = (pieces: readonly Uint8Array[]) => new Detokenizer((token) => pieces[token]!)
const byteTokens = () => new Detokenizer((token) => Uint8Array.of(token))

/** Text and broken bytes of every kind: continuation bytes, overlong forms, surrogates, cut characters. */
const bytes = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 4 }).map(bytesOf),
      fc.uint8Array({ maxLength: 3 }),
      fc
        .constantFrom(
          'c3',
          'e2 82',
          'f0 9f 98',
          'e0 80',
          'e0 a0',
          'ed a0 80',
          'ed 9f',
          'f0 80',
          'f4 90',
          'f4 8f',
          'ef bb bf',
          'c0',
          'f8 88',
        )
        .map((hex) => Uint8Array.from(hex.split(' '), (digits) => Number.parseInt(digits, 16))),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])))

const pieces = fc.tuple(bytes, fc.array(fc.nat(40), { maxLength: 12 })).map(([all, cuts]) => {
  const bounds = [0, ...cuts.filter((cut) => cut <= all.length).sort((a, b) => a - b), all.length]
  return bounds.slice(1).map((end, i) => all.slice(bounds[i]!, end))
})

test('a character that spans tokens appears with its last byte', () => {
  const detokenizer = byteTokens()
  const [a, b, c, d] = bytesOf('😀')
  assert.deepEqual(
    [a!, b!, c!, d!].map((token) => detokenizer.push(token)),
    ['', '', '', '😀'],
  )
  assert.equal(detokenizer.flush(), '')
})

test('a token may end one character and begin the next', () => {
  const detokenizer = over([Uint8Array.of(0x41, 0xc3), Uint8Array.of(0xa9, 0xe2), Uint8Array.of(0x82, 0xac)])
  assert.deepEqual(
    [0, 1, 2].map((token) => detokenizer.push(token)),
    ['A', 'é', '€'],
  )
})

test('bytes that can no longer become a character are replaced at once', () => {
  // Not a lead byte; overlong forms; a surrogate; beyond U+10FFFF.
  for (const sequence of [[0xff], [0x80], [0xc0], [0xf5], [0xe0, 0x9f], [0xf0, 0x8f], [0xed, 0xa0], [0xf4, 0x90]]) {
    const detokenizer = byteTokens()
    const text = sequence.map((token) => detokenizer.push(token)).join('')
    assert.equal(text, '\ufffd'.repeat(sequence.length), String(sequence))
  }
})

test('bytes that can still become a character wait', () => {
  for (const sequence of [[0xc2], [0xe0, 0xa0], [0xed, 0x9f], [0xf0, 0x90, 0x80], [0xf4, 0x8f, 0xbf]]) {
    const detokenizer = byteTokens()
    const text = sequence.map((token) => detokenizer.push(token)).join('')
    assert.equal(text, '', String(sequence))
    assert.equal(detokenizer.push(0x41), '\ufffdA')
  }
})

test('an incomplete character at the end gives one replacement character, and the next text starts afresh', () => {
  const detokenizer = byteTokens()
  for (const token of [0xf0, 0x9f, 0x98]) detokenizer.push(token)
  assert.equal(detokenizer.flush(), '\ufffd')
  assert.equal(detokenizer.push(0x41), 'A')
})

test('a byte order mark is text', () => {
  assert.equal(over([bytesOf('\ufeffa')]).push(0), '\ufeffa')
})

test('the pieces may live in a buffer that the vocabulary reuses', () => {
  const shared = new Uint8Array(1)
  const detokenizer = new Detokenizer((token) => {
    shared[0] = token
    return shared
  })
  const text = [...bytesOf('é€😀')].map((token) => detokenizer.push(token)).join('')
  assert.equal(text, 'é€😀')
  assert.equal(detokenizer.peek([...bytesOf('€')]), '€')
})

test('any division into tokens reads as the bytes decoded at once', () => {
  fc.assert(
    fc.property(pieces, (parts) => {
      const detokenizer = over(parts)
      const text = parts.map((_, token) => detokenizer.push(token)).join('') + detokenizer.flush()
      assert.equal(text, reference(Uint8Array.from(parts.flatMap((part) => [...part]))))
    }),
    { numRuns: 500 },
  )
})

test('no push ends inside a character', () => {
  fc.assert(
    fc.property(pieces, (parts) => {
      const detokenizer = over(parts)
      for (const token of parts.keys()) assert.ok(detokenizer.push(token).isWellFormed())
    }),
  )
})

test('peek gives what the pushes would give, and changes nothing', () => {
  fc.assert(
    fc.property(pieces, fc.nat(12), (parts, at) => {
      const tokens = [...parts.keys()]
      const detokenizer = over(parts)
      for (const token of tokens.slice(0, at)) detokenizer.push(token)
      const ahead = tokens.slice(at)
      const peeked = detokenizer.peek(ahead)
      assert.equal(detokenizer.peek(ahead), peeked)
      assert.equal(ahead.map((token) => detokenizer.push(token)).join(''), peeked)
    }),
  )
})
