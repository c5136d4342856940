import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type DecidedWord, FirstWords } from './first-words.ts'
import { defaultSkimCalibration } from './skim-default.ts'

const word = (survives: boolean, more: Partial<DecidedWord> = {}): DecidedWord => ({
  namespace: '',
  token: 1,
  looks: [],
  shown: { token: survives ? 1 : 2, stability: 0.9, source: 'skim' },
  onAverage: true,
  ...more,
})

describe('what is learnt of first words', () => {
  it('moves the bound of its namespace and no other', () => {
    const words = new FirstWords(defaultSkimCalibration)
    const before = words.of('b').bound.value
    for (let i = 0; i < 3; i++) words.decided(word(false, { namespace: 'a' }))
    assert.ok(words.of('a').bound.value > before)
    assert.equal(words.of('b').bound.value, before)
  })

  it('moves no bound with a word that was shown by a bound of the client, or that was not shown', () => {
    const words = new FirstWords(defaultSkimCalibration)
    const before = words.of('').bound.value
    words.decided(word(false, { onAverage: false }))
    words.decided(word(false, { shown: undefined }))
    assert.equal(words.of('').bound.value, before)
  })

  it('is told of the last thousand: promised, and come true', () => {
    const words = new FirstWords(defaultSkimCalibration)
    for (let i = 0; i < 500; i++) words.decided(word(false))
    for (let i = 0; i < 900; i++) words.decided(word(true))
    for (let i = 0; i < 50; i++) words.decided(word(true, { shown: { token: 1, stability: 0.5, source: 'opening' } }))
    const { skim, opening } = words.counts
    assert.deepEqual([skim?.shown, skim?.survived], [950, 900])
    assert.ok(Math.abs(skim!.expected - 855) < 1e-6)
    assert.deepEqual(opening, { shown: 50, survived: 50, expected: 25 })
  })

  it('goes on where it was saved, in no namespace and with the same calibration', () => {
    const before = new FirstWords(defaultSkimCalibration)
    const look = { before: undefined, token: 2, probability: 0.5, second: 0.1, expected: undefined }
    for (let i = 0; i < 9; i++) before.decided(word(false, { looks: [look] }))
    const saved: unknown = JSON.parse(JSON.stringify(before))
    const known = ({ bound, odds }: ReturnType<FirstWords['of']>) => [bound.value, odds.first(look)]
    const fresh = new FirstWords(defaultSkimCalibration)
    assert.deepEqual(known(new FirstWords(defaultSkimCalibration, saved).of('')), known(before.of('')))
    assert.deepEqual(known(new FirstWords(defaultSkimCalibration, saved).of('a')), known(fresh.of('')))
    const other = { ...defaultSkimCalibration, note: 'another' }
    assert.deepEqual(known(new FirstWords(other, saved).of('')), known(fresh.of('')))
    for (const broken of [null, 'x', { of: defaultSkimCalibration.note, bound: 'x', odds: { weights: 1 } }]) {
      assert.deepEqual(known(new FirstWords(defaultSkimCalibration, broken).of('')), known(fresh.of('')))
    }
  })

  it('is kept of so many namespaces, the latest ones', () => {
    const words = new FirstWords(defaultSkimCalibration)
    const first = words.of('first')
    const second = words.of('second')
    words.of('first')
    for (let i = 0; i < 255; i++) words.of(`${i}`)
    assert.equal(words.of('first'), first)
    assert.notEqual(words.of('second'), second)
  })
})
