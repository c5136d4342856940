import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { minPrompt, planLookaheads } from './skim.ts'

test('short prompts are not skimmed', () => {
  assert.deepEqual(planLookaheads(minPrompt - 1, 0), [])
  assert.notDeepEqual(planLookaheads(minPrompt, 0), [])
})

test('a look reads a true beginning and the true end, without overlap, and a later look reads more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.nat(40), (prompt, suffix) => {
      let before = 0
      for (const { forkAt, tailFrom } of planLookaheads(prompt, suffix)) {
        assert.ok(forkAt > before && forkAt < tailFrom && tailFrom < prompt - suffix, `${forkAt} ${tailFrom} ${prompt}`)
        // It is worth it only when it reads far less than the prompt.
        assert.ok(forkAt + prompt - tailFrom < 0.6 * prompt + suffix)
        before = forkAt
      }
    }),
    { numRuns: 1000 },
  )
})

test('a suffix that fills the prompt leaves nothing to skim', () => {
  assert.deepEqual(planLookaheads(300, 290), [])
})

test('a prompt is cut where a tile of attention ends', () => {
  const cuts = (prompt: number) => planLookaheads(prompt, 0, 64).map(({ forkAt }) => forkAt)
  assert.deepEqual(cuts(512), [64, 128, 192])
  assert.deepEqual(cuts(950), [128, 192, 320])
  assert.deepEqual(cuts(400), [64, 128], 'some of them would be at the same place')
  assert.deepEqual(cuts(220), [22, 64], 'the first tile is too far in')
})
