import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LineSplitter } from './lines.ts'

test('lines do not depend on how their bytes are cut', () => {
  const line = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\n') && text.isWellFormed())
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (lines, sizes) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      const splitter = new LineSplitter()
      const found: string[] = []
      for (let from = 0, i = 0; from < bytes.length; i++) {
        const size = sizes[i % sizes.length]!
        found.push(...splitter.push(bytes.subarray(from, from + size)))
        from += size
      }
      assert.deepEqual(found, lines)
    }),
  )
})
