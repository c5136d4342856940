import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { KeyFilter, lineEnd } from './key-filter.ts'

const all = (...parts: string[]) => {
  const filter = new KeyFilter()
  return parts.map((part) => filter.push(part)).join('')
}
const paste = (text: string) => `\u{1b}[200~${text}\u{1b}[201~`

test('keys pass as they are', () => {
  assert.equal(all('a', '\r', '\u{1b}[A', '\u{3}', '\u{1b}'), 'a\r\u{1b}[A\u{3}\u{1b}')
})

test('Alt-Enter is a line end in the message', () => assert.equal(all('a\u{1b}\rb'), `a${lineEnd}b`))

test('line ends of a paste do not send it, and its control characters do nothing', () => {
  assert.equal(
    all(`x${paste('one\r\ntwo\rthree\n\u{3}\u{1b}[A\tfour')}\r`),
    `x${['one', 'two', 'three', '[A  four'].join(lineEnd)}\r`,
  )
})

test('it does not matter how the bytes of a paste are cut', () => {
  const part = fc.string({ unit: fc.constantFrom('a', '\n', '[', '2', '0', '~') })
  fc.assert(
    fc.property(
      part,
      part,
      part,
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1 }),
      (before, text, after, sizes) => {
        const whole = `${before}${paste(text)}${after}`
        const parts: string[] = []
        for (let from = 0, i = 0; from < whole.length; i++) {
          let to = from + sizes[i % sizes.length]!
          // A lone Escape is a key: terminals send a mark's first two characters together.
          if (whole[to - 1] === '\u{1b}') to++
          parts.push(whole.slice(from, to))
          from = to
        }
        assert.equal(all(...parts), `${before}${text.replaceAll('\n', lineEnd)}${after}`)
      },
    ),
  )
})
