import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { IncipitError } from '../api/errors.ts'
import { StopScanner } from './stop.ts'

/** Pushes the parts: the text released by each, and what stopped the scanner. */
function feed(stops: readonly string[], ...parts: string[]): { released: string[]; stopped: string | undefined } {
  const scanner = new StopScanner(stops)
  const results = parts.map((part) => scanner.push(part))
  return { released: results.map((result) => result.text), stopped: results.at(-1)?.stopped }
}

/** The definition: the first end of a stop string, then the longest that ends there. */
function naive(stops: readonly string[], text: string): { text: string; stopped: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)
    if (matches[0] !== undefined) return { text: text.slice(0, end - matches[0].length), stopped: matches[0] }
  }
  return { text, stopped: undefined }
}

// A small alphabet makes overlaps and near misses common.
const word = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀'), maxLength })
const stopLists = fc.array(
  word(5).filter((stop) => stop !== ''),
  { maxLength: 4 },
)

test('text before a stop string is released, the rest is not', () => {
  assert.deepEqual(feed(['END'], 'one END two'), { released: ['one '], stopped: 'END' })
})

test('without stop strings everything is released at once', () => {
  assert.deepEqual(feed([], 'a', 'b'), { released: ['a', 'b'], stopped: undefined })
})

test('a stop string across pushes is found, and none of it is released', () => {
  assert.deepEqual(feed(['\n\nUser:'], 'hello\n', '\nUs', 'er: x'), {
    released: ['hello', '', ''],
    stopped: '\n\nUser:',
  })
})

test('held text is released once it cannot become a stop string', () => {
  assert.deepEqual(feed(['<end>'], 'a<e', 'n', 'x'), { released: ['a', '', '<enx'], stopped: undefined })
})

test('only the part that still can become a stop string stays held', () => {
  assert.deepEqual(feed(['aab'], 'a', 'a', 'a', 'b'), { released: ['', '', 'a', ''], stopped: 'aab' })
})

test('of overlapping stop strings the one that is complete first wins', () => {
  assert.deepEqual(feed(['abcd', 'c'], 'abcd'), { released: ['ab'], stopped: 'c' })
  assert.deepEqual(feed(['abcd', 'c'], 'a', 'b', 'c', 'd').stopped, 'c')
})

test('of stop strings that end together the longest wins', () => {
  assert.deepEqual(feed(['bc', 'abc'], 'xabc'), { released: ['x'], stopped: 'abc' })
  assert.deepEqual(feed(['bc', 'abc'], 'x', 'a', 'b', 'c'), { released: ['x', '', '', ''], stopped: 'abc' })
})

test('after a stop nothing more comes', () => {
  const scanner = new StopScanner(['.'])
  scanner.push('a.b')
  assert.deepEqual(scanner.push('c'), { text: '', stopped: '.' })
  assert.equal(scanner.flush(), '')
  assert.equal(scanner.clip('d'), '')
})

test('flush releases what was held', () => {
  const scanner = new StopScanner(['<end>'])
  assert.equal(scanner.push('a<en').text, 'a')
  assert.equal(scanner.flush(), '<en')
  assert.equal(scanner.flush(), '')
})

test('a provisional tail carries the held text and is cut before a stop string', () => {
  const scanner = new StopScanner(['<end>'])
  scanner.push('a<e')
  assert.equal(scanner.clip('xtra'), '<extra')
  assert.equal(scanner.clip('nd> more'), '')
  assert.equal(scanner.clip('x<end> more'), '<ex')
  assert.equal(scanner.clip('x<en'), '<ex')
  assert.equal(scanner.clip(''), '')
  assert.deepEqual(scanner.push('nd>'), { text: '', stopped: '<end>' })
})

test('empty and broken stop strings are refused', () => {
  for (const stop of ['', '\ud83d', '\ude00x']) {
    assert.throws(
      () => new StopScanner(['ok', stop]),
      (error) => error instanceof IncipitError && error.code === 'invalid_request' && error.param === 'stop',
    )
  }
})

test('any division into pushes gives the text and the stop of the definition', () => {
  fc.assert(
    fc.property(stopLists, fc.array(word(4), { maxLength: 10 }), (stops, parts) => {
      const scanner = new StopScanner(stops)
      let text = ''
      let stopped: string | undefined
      for (const part of parts) {
        const result = scanner.push(part)
        text += result.text
        stopped = result.stopped
      }
      text += scanner.flush()
      assert.deepEqual({ text, stopped }, naive(stops, parts.join('')))
    }),
    { numRuns: 500 },
  )
})

test('a provisional tail is what a push of the same text would release', () => {
  fc.assert(
    fc.property(stopLists, word(8), word(8), (stops, before, tail) => {
      const scanner = new StopScanner(stops)
      scanner.push(before)
      const clipped = scanner.clip(tail)
      assert.equal(clipped, scanner.push(tail).text)
    }),
  )
})

test('nothing is held that cannot become a stop string', () => {
  fc.assert(
    fc.property(stopLists, word(10), (stops, text) => {
      const scanner = new StopScanner(stops)
      const { stopped } = scanner.push(text)
      const held = scanner.flush()
      if (stopped === undefined && held !== '')
        assert.ok(stops.some((stop) => stop.length > held.length && stop.startsWith(held)))
    }),
  )
})
