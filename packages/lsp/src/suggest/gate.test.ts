import assert from 'node:assert/strict'
import { test } from 'node:test'
import { calibrationOf } from './calibrations.ts'
import { calibration, confidentLength, isHopeless, isWorthShowing, type Said, withoutLead } from './gate.ts'

const said = (...pieces: [string, number | undefined][]): Said[] =>
  pieces.map(([text, probability]) => ({ text, probability }))

const line = said(['foo', 0.9], ['Bar', 0.8], ['(', 0.9], ['a', 0.4], [')', 0.9])

test('the longest beginning that is likely enough, not ending inside a word', () => {
  assert.equal(confidentLength(line, 9, 0.1), 9)
  assert.equal(confidentLength(line, 9, 0.6), 'fooBar('.length)
  assert.equal(confidentLength(line, 9, 0.85), 0, 'foo alone is half a word')
  assert.equal(confidentLength(line, 9, 0), 9)
  assert.equal(confidentLength(line, 7, 0.1), 7)
})

test('a server that says nothing of probabilities is not gated', () => {
  assert.equal(confidentLength(said(['foo', undefined]), 3, 0.9), 3)
})

test('nothing that follows can be likely any more', () => {
  assert.ok(!isHopeless(line.slice(0, 3), 0.5))
  assert.ok(isHopeless(line, 0.5))
  assert.ok(isHopeless(line.slice(0, 1), 0.5, (probability) => probability / 2))
})

test('a calibration is a line through its points', () => {
  const calibrate = calibration([
    [0.5, 0.2],
    [1, 0.8],
  ])
  assert.deepEqual([0, 0.25, 0.5, 0.75, 1].map(calibrate), [0, 0.1, 0.2, 0.5, 0.8])
})

test('a model without a measured calibration is taken at its word', () => {
  assert.equal(calibrationOf('some-model')(0.3), 0.3)
  assert.equal(calibrationOf('prelude-nano.Q8_0')(0.402), 0.531)
  assert.equal(calibrationOf('Prelude small')(0.525), 0.641)
})

test('a single sign, or nothing but a bracket, is not worth a look', () => {
  assert.deepEqual(['', ' ', ')', ');', 'a', 'ab', '});'].map(isWorthShowing), [
    false,
    false,
    false,
    false,
    false,
    true,
    true,
  ])
})

test('indentation beyond that of the line is taken off', async () => {
  async function* pieces(...texts: string[]): AsyncGenerator<Said> {
    for (const text of texts) yield { text, probability: 1 }
  }
  const read = async (begun: number, ...texts: string[]) =>
    (await Array.fromAsync(withoutLead(pieces(...texts), begun))).map(({ text }) => text).join('')
  assert.equal(await read(1, '    ', '  return', ' n\n', '  x'), ' return n\n  x')
  assert.equal(await read(1, ' return'), ' return')
  assert.equal(await read(0, '\t', '\n', '  x'), '\n  x')
})
