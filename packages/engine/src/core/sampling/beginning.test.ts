import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Beginning } from './beginning.ts'
import { allows } from './token-mask.ts'

const texts = ['', 'c', 'con', 'const', 'constant', 'cat', ' con', 's', 't x']
const bytes = texts.map((text) => new TextEncoder().encode(text))
const vocabulary = {
  size: texts.length,
  bytesOf: (token: number) => bytes[token]!,
  isEndOfGeneration: () => false,
}

function beginning(text: string): Beginning {
  return new Beginning(new TextEncoder().encode(text), vocabulary)
}

/** What may follow, as texts; undefined: everything. */
function following(state: Pick<Beginning, 'mask'>): string[] | undefined {
  const mask = state.mask()
  return mask && texts.filter((_, token) => allows(mask, token))
}

const say = (state: Pick<Beginning, 'advance'>, text: string) => state.advance(texts.indexOf(text))

test('tokens that the text goes on with, or that go on beyond it', () => {
  assert.deepEqual(following(beginning('cons')), ['c', 'con', 'const', 'constant'])
})

test('behind the text everything may follow, also where a token went on beyond it', () => {
  const state = beginning('cons')
  say(state, 'con')
  assert.deepEqual(following(state), ['s'])
  say(state, 's')
  assert.equal(following(state), undefined)
  state.rollback(2)
  say(state, 'constant')
  assert.equal(following(state), undefined)
})

test('it goes back, and a fork goes its own way', () => {
  const state = beginning('cat')
  say(state, 'c')
  const fork = state.fork()
  state.rollback(1)
  assert.deepEqual(following(state), ['c', 'cat'])
  assert.equal(following(fork as Beginning), undefined, 'no token begins with the a of cat')
})
