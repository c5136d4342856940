import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ShownBound } from './shown-bound.ts'

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** What guesses are worth: their stability is that of a uniform draw to some power, and survival another power of it. */
interface Kind {
  readonly quality: number
  readonly honesty: number
}

/** Shows guesses of these kinds, one after the other, and says what became of those that were shown. */
function stream(kinds: readonly (readonly [Kind, number])[], seed: number) {
  const bound = new ShownBound()
  const next = random(seed)
  const shown: { at: number; survived: boolean }[] = []
  let at = 0
  for (const [{ quality, honesty }, count] of kinds) {
    for (let i = 0; i < count; i++, at++) {
      const stability = next() ** (1 / quality)
      if (stability < bound.value) continue
      const survived = next() < stability ** honesty
      shown.push({ at, survived })
      bound.observe(survived)
    }
  }
  return { shown, bound }
}

const survival = (shown: readonly { survived: boolean }[]) =>
  shown.filter(({ survived }) => survived).length / Math.max(1, shown.length)

const easy: Kind = { quality: 20, honesty: 1 }
const middling: Kind = { quality: 3, honesty: 1 }
const hard: Kind = { quality: 0.5, honesty: 1 }
/** Three in four survive of what claims 0.9. */
const boasting: Kind = { quality: 4, honesty: 2.7 }

describe('the bound on first words', () => {
  it('keeps nine in ten of what is shown, where guesses are good enough to be shown at all', () => {
    for (const kind of [middling, boasting]) {
      for (let seed = 1; seed <= 10; seed++) {
        const share = survival(stream([[kind, 4000]], seed).shown.slice(100))
        assert.ok(share > 0.87, `${kind.honesty}: ${share}`)
      }
    }
  })

  it('shows more than nine in ten would allow each, and all that is easy', () => {
    const { shown } = stream([[middling, 4000]], 1)
    const each = 4000 * (1 - 0.9 ** 3)
    assert.ok(shown.length > 1.2 * each, `${shown.length} of ${each}`)
    assert.ok(stream([[easy, 1000]], 1).shown.length > 990)
  })

  it('has no 200 in a row of which more than 16% were wrong, whatever kind comes after which', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const kinds = [easy, boasting, easy, hard, middling, boasting, easy, boasting]
      const { shown } = stream(
        kinds.map((kind) => [kind, 500]),
        seed,
      )
      for (let from = 0; from + 200 <= shown.length; from++) {
        const share = survival(shown.slice(from, from + 200))
        assert.ok(share >= 0.84, `seed ${seed}, from ${from}: ${share}`)
      }
    }
  })

  it('is there again a hundred guesses after everything changed', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { shown } = stream(
        [
          [easy, 2000],
          [boasting, 2000],
        ],
        seed,
      )
      const after = shown.filter(({ at }) => at >= 2100)
      assert.ok(survival(after) > 0.87, `${survival(after)}`)
    }
  })
})
