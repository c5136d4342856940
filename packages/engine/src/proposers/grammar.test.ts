import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RuledState, type Rules } from '../../test/fixtures/constraints.ts'
import { choose } from '../core/sampling/sample.ts'
import { TokenChooser } from '../core/sampling/token-chooser.ts'
import { maskLogits, maskOf } from '../core/sampling/token-mask.ts'
import { GrammarProposer } from './grammar.ts'

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

const grammar: Rules = {
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

const prompt = [1, 1]

function chooserOf(temperature = 0, seed = 0): TokenChooser {
  const sampling = { temperature, topP: 1, topK: 0, minP: 0, seed }
  return new TokenChooser({ sampling, prompt, constraint: new RuledState(grammar) })
}

const replyOf = (reply: readonly number[]) => ({ tokens: reply, start: 0, end: reply.length, committed: reply.length })

function proposerOf(chooser: TokenChooser): GrammarProposer {
  return new GrammarProposer(
    ({ tokens, prompt, committed }) => chooser.forced({ tokens, start: prompt, end: committed, committed }),
    isEnd,
  )
}

test('what the grammar forces is proposed, and is certain', () => {
  const proposer = proposerOf(chooserOf())
  assert.deepEqual(proposer.propose(text([])), { source: 'grammar', tokens: [5, 6, 7], confidences: [1, 1, 1] })
  assert.deepEqual(proposer.propose(text([5, 6, 7, 9]))?.tokens, [10])
  assert.equal(proposer.propose(text([5, 6, 7])), undefined)
})

test('the token that ends a reply is not proposed', () => {
  assert.equal(proposerOf(chooserOf()).propose(text([5, 6, 7, 8, 11])), undefined)
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

      const chooser = chooserOf(temperature, seed)
      const proposer = proposerOf(chooser)
      const reply: number[] = []
      while (reply.length < 30 && reply.at(-1) !== eos) {
        const forced = proposer.propose(text(reply))
        // Where nothing is forced some other proposer guesses, as the grammar allows or not.
        const other = [...noise.take(3)]
        const tokens = forced?.tokens ?? other.slice(0, chooser.allowedLength(other, replyOf(reply)))
        const committed = reply.length
        let right = 0
        for (;;) {
          // A row of a draft is asked about with the guesses before it.
          const guessed = { tokens: [...reply, ...tokens.slice(right)], start: 0, end: reply.length, committed }
          const { token } = chooser.choose(logitsAt(seed, reply.length), guessed)
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
