import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Lookup, LookupIndex, lookupAcceptance } from './lookup.ts'
import { Acceptance } from './proposer.ts'

const never = () => false

/** What a fresh index proposes after these tokens. */
function propose(tokens: readonly number[], ends: (token: number) => boolean = never): readonly number[] | undefined {
  return new LookupIndex().propose(tokens, lookupAcceptance(), ends)?.tokens
}

test('what followed the last tokens before is proposed', () => {
  assert.deepEqual(propose([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3]), [4, 5, 6, 7, 8, 9, 10, 11])
})

test('a draft that reaches the end of the text goes on with itself: a period repeats', () => {
  assert.deepEqual(propose([1, 2, 3, 4, 1, 2]), [3, 4, 1, 2, 3, 4, 1, 2])
  assert.deepEqual(propose([5, 7, 7, 7]), [7, 7, 7, 7, 7, 7, 7, 7])
})

test('two tokens in common are enough, one is not', () => {
  assert.deepEqual(propose([7, 1, 2, 8, 1, 2])?.[0], 8)
  assert.equal(propose([7, 1, 8, 1]), undefined)
})

test('the longest match wins, however long it is, and of those the most recent place', () => {
  assert.deepEqual(propose([1, 2, 3, 70, 5, 2, 3, 80, 1, 2, 3])?.[0], 70)
  assert.deepEqual(propose([1, 2, 70, 5, 1, 2, 80, 6, 1, 2])?.[0], 80)
  const long = [1, 2, 3, 4, 5, 6]
  assert.deepEqual(propose([...long, 70, 9, ...long.slice(1), 80, ...long])?.[0], 70)
})

test('texts too short or without repetition have no draft', () => {
  for (const tokens of [[], [1], [1, 2], [1, 2, 3, 4, 5]]) assert.equal(propose(tokens), undefined)
})

test('a draft stops before a token that ends a reply', () => {
  assert.deepEqual(
    propose([1, 2, 3, 99, 4, 1, 2], (token) => token === 99),
    [3],
  )
  assert.equal(
    propose([1, 2, 99, 4, 1, 2], (token) => token === 99),
    undefined,
  )
})

/** How many tokens of the text's end the draft for it agrees with. */
function matchOf(tokens: readonly number[]): number | undefined {
  return new LookupIndex().propose(tokens, lookupAcceptance(), never)?.match
}

/** The draft by its definition: the longest match, then the most recent place, whose continuation is not empty. */
function naive(tokens: readonly number[], ends: (token: number) => boolean): number[] | undefined {
  for (let match = tokens.length - 1; match >= 2; match--) {
    const tail = tokens.slice(tokens.length - match).join()
    for (let place = tokens.length - 1; place >= match; place--) {
      if (tokens.slice(place - match, place).join() !== tail) continue
      const period = tokens.slice(place)
      const guess = Array.from({ length: 8 }, (_, i) => period[i % period.length]!)
      const end = guess.findIndex(ends)
      if (end >= 0) guess.length = end
      if (guess.length > 0) return guess
      break
    }
  }
  return undefined
}

test('an index that grows with the text proposes what a search through all of it finds', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { maxLength: 60 }), fc.array(fc.nat(20), { maxLength: 10 }), (tokens, calls) => {
      const lookup = new Lookup(lookupAcceptance(), (token) => token === 3)
      for (const length of [...calls.sort((a, b) => a - b), tokens.length]) {
        const committed = Math.min(length, tokens.length)
        // What stands behind the committed text is nobody's business.
        const draft = lookup.propose({ tokens, committed, prompt: 0 })
        assert.deepEqual(
          draft?.tokens,
          naive(tokens.slice(0, committed), (token) => token === 3),
        )
        assert.ok(!draft?.tokens.includes(3))
        assert.equal(draft?.confidences.length, draft?.tokens.length)
      }
    }),
    { numRuns: 2000 },
  )
})

test('confidences are those learnt for matches as long', () => {
  const acceptance = lookupAcceptance()
  const proposed = (tokens: readonly number[]) =>
    new Lookup(acceptance, never).propose({ tokens, committed: tokens.length, prompt: 0 })!
  const tokens = [1, 2, 3, 4, 5, 1, 2, 3]
  const before = proposed(tokens)
  assert.equal(before.match, 3)
  const lookup = new Lookup(acceptance, never)
  for (let i = 0; i < 50; i++) lookup.learn(before, 3, 1)
  const two = proposed([1, 2, 7, 1, 2])
  for (let i = 0; i < 50; i++) lookup.learn(two, 3, 0)
  const after = proposed(tokens)
  assert.ok(after.confidences[0]! > before.confidences[0]! && after.confidences[0]! > 0.9)
  assert.ok(after.confidences[1]! < before.confidences[1]! && after.confidences[1]! < 0.1)
})

test('match lengths are judged in five classes', () => {
  const acceptance = lookupAcceptance()
  const classes = [2, 3, 4, 5, 6, 7, 8, 9].map((match) => acceptance.indexOf(acceptance[match]!))
  assert.deepEqual(classes, [2, 3, 4, 4, 6, 6, 6, 9])
  const long = Array.from({ length: 40 }, (_, i) => i)
  assert.equal(matchOf([...long, ...long.slice(0, 30)]), 9)
  assert.equal(matchOf([...long, ...long.slice(0, 7)]), 7)
})

test('acceptance begins at its prior and follows what is counted, position by position', () => {
  const acceptance = new Acceptance(0.6)
  assert.equal(acceptance.at(0), 0.6)
  assert.equal(acceptance.at(7), 0.6)
  // Always two of four right: the third is always wrong, the fourth was never decided.
  for (let i = 0; i < 100; i++) acceptance.observe(4, 2)
  assert.ok(acceptance.at(0) > 0.95 && acceptance.at(1) > 0.95)
  assert.ok(acceptance.at(2) < 0.05)
  assert.equal(acceptance.at(3), 0.6)
})

test('a draft that was right to its end says nothing about the position behind it', () => {
  const acceptance = new Acceptance(0.5)
  for (let i = 0; i < 20; i++) acceptance.observe(2, 2)
  assert.ok(acceptance.at(1) > 0.9)
  assert.equal(acceptance.at(2), 0.5)
})

test('acceptance forgets: a text that stopped repeating itself is believed after a few hundred drafts', () => {
  const acceptance = new Acceptance(0.5)
  for (let i = 0; i < 10_000; i++) acceptance.observe(1, 1)
  for (let i = 0; i < 400; i++) acceptance.observe(1, 0)
  assert.ok(acceptance.at(0) < 0.2)
})
