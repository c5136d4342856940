import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { ConstraintState } from '../src/api/constraint.ts'
import { allows } from '../src/core/sampling/token-mask.ts'

/** Tokens of a reply, by the place in the list of those that may follow, and how many of the last ones are taken back. */
export const steps = fc.array(fc.record({ pick: fc.nat(), back: fc.nat(6) }), { maxLength: 40 })

/**
 * A constraint's state that goes forth and back, and is forked, stands where another one stands that came there directly.
 * @param begin a new state
 * @param vocabulary number of tokens
 * @param draft tokens that a draft has behind any token
 * @param says whether a reply may go on with a token that the constraint allows; there may be none then. Default: with any,
 * and there always is one
 */
export function standsAsDirectly(
  begin: () => ConstraintState,
  walk: readonly { readonly pick: number; readonly back: number }[],
  { vocabulary, draft, says }: { vocabulary: number; draft: number[]; says?: (token: number) => boolean },
): void {
  const allowed = (state: ConstraintState) =>
    Array.from({ length: vocabulary }, (_, token) => token).filter((token) => allows(state.mask(), token))
  let state = begin()
  const reply: number[] = []
  for (const { pick, back } of walk) {
    const may = says ? allowed(state).filter(says) : allowed(state)
    assert.ok(may.length > 0 || says)
    if (may.length > 0) {
      reply.push(may[pick % may.length]!)
      state.advance(reply.at(-1)!)
    }
    const taken = Math.min(reply.length, back)
    state.rollback(taken)
    reply.length -= taken
    if (back === 5) state = state.fork()
    const direct = begin()
    for (const token of reply) direct.advance(token)
    assert.deepEqual(allowed(state), allowed(direct))
    assert.deepEqual(state.forced(), direct.forced())
    const tokens = [pick % vocabulary, ...draft]
    const length = state.allowedLength!(tokens)
    for (const [i, token] of tokens.entries()) {
      assert.equal(allows(direct.mask(), token), i < length)
      if (i >= length) break
      direct.advance(token)
    }
  }
}
