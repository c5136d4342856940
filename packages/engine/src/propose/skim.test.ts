import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { planSkim, shortestPrompt } from './skim.ts'

test('short prompts are not skimmed', () => {
  assert.equal(planSkim(shortestPrompt - 1, 0), undefined)
  assert.notEqual(planSkim(shortestPrompt, 0), undefined)
})

test('a look reads a true beginning and the true end, without overlap', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.nat(40), (prompt, suffix) => {
      const plan = planSkim(prompt, suffix)
      if (plan === undefined) return
      const { forkAt, tailFrom } = plan
      assert.ok(forkAt >= 1 && forkAt < tailFrom && tailFrom < prompt - suffix, `${forkAt} ${tailFrom} ${prompt}`)
      // It is worth it only when it reads far less than the prompt.
      assert.ok(forkAt + prompt - tailFrom < prompt / 2 + suffix)
    }),
    { numRuns: 1000 },
  )
})

test('a suffix that fills the prompt leaves nothing to skim', () => {
  assert.equal(planSkim(300, 290), undefined)
})
