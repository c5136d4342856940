import type { ConstraintState, TokenMask } from '../src/api/constraint.ts'
import { allows, maskOf } from '../src/core/sampling/token-mask.ts'
import type { Rules } from './fixtures/constraints.ts'
import { endToken, mix, vocabulary } from './simulated-model.ts'

const states = 3
// A chain of forced tokens may have no end.
const mostForced = 5

/** A regular language by number: from each of three states some tokens lead on, and the end may follow some of them. */
export function regularLanguage(number: number): Rules {
  const follow = (state: number, token: number): number | undefined => {
    const chance = mix(number, 16 * state + token)
    return chance % 3 === 0 ? undefined : (chance >> 4) % states
  }
  const allowedIn = Array.from({ length: states }, (_, state) => {
    const tokens = Array.from({ length: vocabulary + 1 }, (_, token) => token)
    const allowed = tokens.filter((token) => follow(state, token) !== undefined)
    return allowed.length > 0 ? allowed : [endToken]
  })
  const after = (reply: readonly number[]) => reply.reduce((state, token) => follow(state, token) ?? 0, 0)
  return {
    allowed: (reply) => maskOf(allowedIn[after(reply)]!, vocabulary + 1),
    forced(reply) {
      const forced: number[] = []
      while (forced.length < mostForced && forced.at(-1) !== endToken) {
        const [token, other] = allowedIn[after([...reply, ...forced])]!
        if (token === undefined || other !== undefined) break
        forced.push(token)
      }
      return forced
    },
  }
}

/** Whether a reply is a beginning of what the rules allow. */
export function isAllowed(rules: Rules, reply: readonly number[]): boolean {
  return reply.every((token, i) => allows(rules.allowed(reply.slice(0, i)), token))
}

/** A constraint that says what went wrong in how it was used, and that may throw. */
export class WatchedConstraint implements ConstraintState {
  readonly #state: ConstraintState
  readonly #on: { readonly call: () => void; readonly misuse: (problem: string) => void }

  /** @param on.call called before everything; what it throws is the constraint's own error */
  constructor(state: ConstraintState, on: { call: () => void; misuse: (problem: string) => void }) {
    this.#state = state
    this.#on = on
  }

  mask(): TokenMask | undefined {
    this.#on.call()
    return this.#state.mask()
  }

  forced(): readonly number[] {
    this.#on.call()
    return this.#state.forced()
  }

  advance(token: number): void {
    this.#on.call()
    if (!allows(this.#state.mask(), token)) this.#on.misuse(`a reply goes on with ${token}, which may not follow`)
    this.#state.advance(token)
  }

  rollback(count: number): void {
    this.#on.call()
    this.#state.rollback(count)
  }

  fork(): ConstraintState {
    this.#on.call()
    return new WatchedConstraint(this.#state.fork(), this.#on)
  }
}
