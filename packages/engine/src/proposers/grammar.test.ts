import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { choose } from '../core/sampling/sample.ts'
import { allows, type GrammarHook, GrammarProposer, maskLogits, maskOf, trimToGrammar } from './grammar.ts'
import type { Draft } from './proposer.ts'

const vocabulary = 40
const eos = 2
const isEnd = (token: number) => token === eos

/**
 * A regular language over tokens: per state, the tokens that may follow and the state they lead to. In state 0 a reply
 * begins; where `eos` may follow it is complete. Here: ( 5 6 7 (8 | 9 10) )+ 11 eos
 */
const language: readonly (readonly (readonly [token: number, state: number])[])[] = [
  [[5, 1]],
  [[6, 2]],
  [[7, 3]],
  [
    [8, 5],
    [9, 4],
  ],
  [[10, 5]],
  [
    [5, 1],
    [11, 6],
  ],
  [[eos, 6]],
]

function follow(reply: readonly number[]): number | undefined {
  let state: number | undefined = 0
  for (const token of reply) {
    state = language[state]!.find(([known]) => known === token)?.[1]
    if (state === undefined) return undefined
  }
  return state
}

const grammar: GrammarHook = {
  allowed(reply) {
    const tokens = language[follow(reply)!]!.map(([token]) => token)
    return maskOf(tokens, vocabulary)
  },
  forced(reply) {
    const forced: number[] = []
    for (let state = follow(reply)!; language[state]!.length === 1 && forced.at(-1) !== eos; ) {
      const [token, next] = language[state]![0]!
      forced.push(token)
      state = next
    }
    return forced
  },
}

const text = (reply: readonly number[]) => ({ tokens: [1, 1, ...reply], committed: 2 + reply.length, prompt: 2 })

test('what the grammar forces is proposed, and is certain', () => {
  const proposer = new GrammarProposer(grammar, isEnd)
  assert.deepEqual(proposer.propose(text([])), { source: 'grammar', tokens: [5, 6, 7], confidences: [1, 1, 1] })
  assert.deepEqual(proposer.propose(text([5, 6, 7, 9]))?.tokens, [10])
  assert.equal(proposer.propose(text([5, 6, 7])), undefined)
})

test('the token that ends a reply is not proposed', () => {
  assert.equal(new GrammarProposer(grammar, isEnd).propose(text([5, 6, 7, 8, 11])), undefined)
})

test('a mask holds exactly its tokens', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(99)), fc.integer({ min: 1, max: 100 }), (tokens, vocabulary) => {
      const mask = maskOf(
        tokens.filter((token) => token < vocabulary),
        vocabulary,
      )
      const logits = Float32Array.from({ length: vocabulary }, (_, i) => i)
      maskLogits(logits, mask)
      for (let token = 0; token < vocabulary; token++) {
        assert.equal(allows(mask, token), tokens.includes(token))
        assert.equal(logits[token], tokens.includes(token) ? token : Number.NEGATIVE_INFINITY)
      }
    }),
  )
})

test('without a mask everything is allowed', () => {
  const logits = Float32Array.of(1, 2, 3)
  maskLogits(logits, undefined)
  assert.deepEqual(logits, Float32Array.of(1, 2, 3))
  assert.ok(allows(undefined, 7))
})

test('of a draft the lawful part is kept, with what belongs to it', () => {
  const draft = { source: 'lookup' as const, tokens: [6, 7, 9, 11], confidences: [0.9, 0.8, 0.7, 0.6], match: 4 }
  assert.deepEqual(trimToGrammar(draft, grammar, [5]), { ...draft, tokens: [6, 7, 9], confidences: [0.9, 0.8, 0.7] })
  assert.equal(trimToGrammar(draft, grammar, []), undefined)
  const whole = { ...draft, tokens: [6, 7], confidences: [1, 1] }
  assert.equal(trimToGrammar(whole, grammar, [5]), whole)
})

/** A model without weights: logits that depend on the seed and the number of tokens before. */
function logitsAt(seed: number, index: number): Float32Array {
  return Float32Array.from(
    { length: vocabulary },
    (_, token) => Math.sin(seed * 12.9 + index * 78.2 + token * 37.7) * 4,
  )
}

function decide(seed: number, reply: readonly number[], temperature: number): number {
  const logits = logitsAt(seed, reply.length)
  maskLogits(logits, grammar.allowed(reply))
  return choose(logits, { temperature, topP: 1, topK: 0, minP: 0, seed }, 2 + reply.length)
}

test('under a grammar drafts change nothing: the reply is in the language and the same without them', () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.constantFrom(0, 1), fc.infiniteStream(fc.nat(12)), (seed, temperature, noise) => {
      const plain: number[] = []
      while (plain.length < 30 && plain.at(-1) !== eos) plain.push(decide(seed, plain, temperature))

      const proposer = new GrammarProposer(grammar, isEnd)
      const reply: number[] = []
      while (reply.length < 30 && reply.at(-1) !== eos) {
        const forced = proposer.propose(text(reply))
        // Where nothing is forced some other proposer guesses, lawfully or not.
        const other: Draft = { source: 'lookup', tokens: [...noise.take(3)], confidences: [0.5, 0.5, 0.5] }
        const draft = forced ?? trimToGrammar(other, grammar, reply)
        const tokens = draft?.tokens ?? []
        let right = 0
        for (;;) {
          const token = decide(seed, reply, temperature)
          reply.push(token)
          if (token !== tokens[right] || token === eos) break
          right++
        }
        if (forced) assert.equal(right, forced.tokens.length)
      }
      assert.deepEqual(reply.slice(0, 30), plain.slice(0, 30))
      assert.notEqual(follow(reply), undefined)
    }),
    { numRuns: 300 },
  )
})
