import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { tiers } from '../api/tiers.ts'
import { GuessSampler } from './guess-sampler.ts'
import { ScriptedReply } from './scripted-reply.ts'
import { endToken } from './vocabulary.ts'

const said = (request: number, position: number) => 1000 * (request + 1) + position
const prompt = Array.from({ length: 100 }, (_, i) => i)

/** The reply to a request for five tokens, of which all guesses are right with probability `quality`. */
function reply(quality: number, index = 0): ScriptedReply {
  const guesses = new GuessSampler({ drafts: quality, coverage: 1, looks: quality, exits: quality }, 1)
  return new ScriptedReply(
    { index, kind: 'chat', tier: tiers.chat, arrival: 0, prompt, reply: 5 },
    { said, guesses, seed: 1 },
  )
}

/** A reply of which these tokens are guessed. */
const text = (tokens: readonly number[]) => ({ tokens, start: 0, end: tokens.length, committed: 0 })

describe('a scripted reply', () => {
  it('ends with the token that ends replies', () => {
    assert.deepEqual(
      [0, 3, 4].map((position) => reply(1).said(position)),
      [1000, 1003, endToken],
    )
  })

  it('is guessed by drafts that stop before its end', () => {
    assert.deepEqual(reply(1).draft(1, 8), [1001, 1002, 1003])
    assert.deepEqual(reply(1).draft(1, 2), [1001, 1002])
    assert.deepEqual(reply(1).draft(4, 8), [])
  })

  it('is not guessed any more after a wrong guess', () => {
    assert.equal(reply(1).exit(text([1000, 1001])).token, 1002)
    assert.notEqual(reply(1).exit(text([1000, 7])).token, 1002)
    assert.notEqual(reply(1).lookahead(text([7]), 10).token, 1001)
    for (let index = 0; index < 50; index++) {
      const draft = reply(0.5, index).draft(0, 4)
      const right = draft.map((token, position) => token === said(index, position))
      assert.deepEqual(
        right,
        right.toSorted((a, b) => Number(b) - Number(a)),
      )
    }
  })

  it('is guessed with the probability of being right', () => {
    assert.equal(reply(0.6).exit(text([])).probability, 0.6)
    assert.equal(reply(0.6).lookahead(text([1000]), 10).probability, 0.6)
    const seen = Array.from({ length: 2000 }, (_, index) => ({ index, ...reply(0.6, index).lookahead(text([]), 10) }))
    const sure = seen.filter(({ probability = 0 }) => probability >= 0.8)
    const right = sure.filter(({ index, token }) => token === said(index, 0))
    const mean = sure.reduce((sum, { probability = 0 }) => sum + probability, 0) / sure.length
    assert.ok(Math.abs(right.length / sure.length - mean) < 0.03, `${right.length} of ${sure.length}, ${mean}`)
  })
})
