import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Match, SuffixIndex } from './suffix.ts'

function indexOf(tokens: readonly number[]): SuffixIndex {
  const index = new SuffixIndex()
  for (const token of tokens) index.push(token)
  return index
}

/** Longest first: each suffix that stood earlier, with its most recent place, unless a longer one stood there too. */
function naive(tokens: readonly number[]): Match[] {
  const found: Match[] = []
  for (let length = tokens.length - 1; length > 0; length--) {
    const suffix = tokens.slice(-length).join()
    let place = tokens.length - 1
    while (place >= length && tokens.slice(place - length, place).join() !== suffix) place--
    if (place >= length && found.at(-1)?.place !== place) found.push({ length, place })
  }
  return found
}

const texts = fc.oneof(
  fc.array(fc.nat(2), { maxLength: 60 }),
  fc.array(fc.nat(1_000_000), { maxLength: 30 }),
  // Texts that repeat whole parts, as edited code does.
  fc
    .tuple(fc.array(fc.array(fc.nat(5), { maxLength: 8 }), { minLength: 1, maxLength: 3 }), fc.array(fc.nat(2)))
    .map(([parts, order]) => order.flatMap((i) => parts[i % parts.length]!).slice(0, 80)),
)

test('every suffix that stood before is found at its most recent place', () => {
  fc.assert(
    fc.property(texts, (tokens) => {
      assert.deepEqual([...indexOf(tokens).matches()], naive(tokens))
    }),
    { numRuns: 3000 },
  )
})

test('the same holds after every token, not only at the end', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(2), { maxLength: 40 }), (tokens) => {
      const index = new SuffixIndex()
      for (const [i, token] of tokens.entries()) {
        index.push(token)
        assert.deepEqual([...index.matches()], naive(tokens.slice(0, i + 1)))
      }
    }),
    { numRuns: 300 },
  )
})

test('a text of one token repeats itself entirely, and costs as little as others', () => {
  const tokens = new Array<number>(20_000).fill(7)
  const start = performance.now()
  const index = indexOf(tokens)
  assert.ok(performance.now() - start < 1000)
  assert.deepEqual(index.matches().next().value, { length: 19_999, place: 19_999 })
})

test('memory is about a hundred bytes per token, twice that while the arrays grow', () => {
  // A text in which most things were said before, as language is.
  let state = 1
  const tokens = Array.from({ length: 8192 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 1
    return Math.floor(300 * ((state >> 8) / 0x7fffff) ** 4)
  })
  const index = indexOf(tokens)
  assert.equal(index.length, 8192)
  assert.ok(index.bytes / 8192 < 200, `${index.bytes / 8192} bytes`)
})
