import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { replay } from '../../../test/replay.ts'
import { ReplyState } from './reply-state.ts'

const tokens = fc.array(fc.nat(3), { maxLength: 8 })
/** What is committed grows; guesses behind it come and go. */
const moves = fc.array(fc.record({ commits: fc.array(fc.nat(3), { maxLength: 3 }), guesses: tokens }), { maxLength: 8 })

test('it knows how often each token stands in the reply, or in a window that ends there, wherever it goes', () => {
  fc.assert(
    fc.property(tokens, moves, fc.constantFrom(undefined, 1, 2, 5, 99), (prompt, moves, length) => {
      const state = new ReplyState(undefined, length === undefined ? undefined : { prompt, length })
      const committed: number[] = []
      for (const { commits, guesses } of moves) {
        committed.push(...commits)
        const text = [...committed, ...guesses]
        for (const end of [text.length, committed.length]) {
          state.follow({ tokens: text, start: 0, end, committed: committed.length })
          const seen = text.slice(0, end)
          const counts = new Map<number, number>()
          for (const token of length === undefined ? seen : [...prompt, ...seen].slice(-length)) {
            counts.set(token, (counts.get(token) ?? 0) + 1)
          }
          assert.deepEqual(state.counts, counts)
        }
      }
    }),
    { numRuns: 300, ...replay },
  )
})
