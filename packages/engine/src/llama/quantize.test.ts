import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dequantize, ggmlType, quantizeQ8 } from './quantize.ts'

const q4_1 = 3

/** A half-precision float by IEEE 754: sign, 5 bits of exponent, 10 of mantissa. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}

test('every half-precision float is decoded as IEEE 754 says', () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i)
  const values = dequantize(ggmlType.f16, new Uint8Array(bits.buffer), bits.length)
  for (const [i, value] of values.entries()) assert.ok(Object.is(value, half(i)), `${i}: ${value}`)
})

test('floats are copied, not shared', () => {
  const bytes = new Uint8Array(Float32Array.of(1.5, -2).buffer)
  const values = dequantize(ggmlType.f32, bytes, 2)
  bytes.fill(0)
  assert.deepEqual([...values], [1.5, -2])
})

test('Q4_1: 4-bit steps of a scale above a minimum, low halves first', () => {
  const block = new Uint8Array(20)
  const view = new DataView(block.buffer)
  // Scale 0.5 and minimum -3 as half-precision floats.
  view.setUint16(0, 0x3800, true)
  view.setUint16(2, 0xc200, true)
  for (let i = 0; i < 16; i++) block[4 + i] = i | ((15 - i) << 4)
  const values = [...dequantize(q4_1, block, 32)]
  const expected = Array.from({ length: 32 }, (_, i) => -3 + 0.5 * (i < 16 ? i : 31 - i))
  assert.deepEqual(values, expected)
})

test('Q8_0 keeps every value within half a step of its block', () => {
  const value = fc.float({ min: -1000, max: 1000, noNaN: true })
  const blocks = fc.integer({ min: 1, max: 4 }).chain((columns) => {
    const size = 3 * columns * 32
    return fc.record({
      columns: fc.constant(columns * 32),
      values: fc.array(value, { minLength: size, maxLength: size }),
    })
  })
  fc.assert(
    fc.property(blocks, ({ columns, values }) => {
      const source = Float32Array.from(values)
      const bytes = quantizeQ8(source, 3, columns)
      assert.equal(bytes.length, (source.length / 32) * 34)
      const back = dequantize(ggmlType.q8_0, bytes, source.length)
      for (let start = 0; start < source.length; start += 32) {
        const block = source.subarray(start, start + 32)
        const largest = Math.max(...block.map(Math.abs))
        // Half a step of 1/127, and the scale itself rounded to half precision (11 bits; 2^-24 near zero).
        const bound = largest / 254 + largest * 2 ** -11 + 127 * 2 ** -25 + 1e-12
        for (let i = 0; i < 32; i++) assert.ok(Math.abs(block[i]! - back[start + i]!) <= bound, `${block[i]}`)
      }
    }),
    { numRuns: 200 },
  )
})

test('sizes that do not fit never reach native code', () => {
  assert.throws(() => dequantize(ggmlType.q8_0, new Uint8Array(33), 32), RangeError)
  assert.throws(() => dequantize(ggmlType.f32, new Uint8Array(4), 2), RangeError)
  assert.throws(() => dequantize(ggmlType.q8_0, new Uint8Array(68), 33), { code: 'model_unsupported' })
  assert.throws(() => dequantize(999, new Uint8Array(64), 1), { code: 'model_unsupported', message: /999/ })
  assert.throws(() => quantizeQ8(new Float32Array(32), 2, 32), RangeError)
  assert.throws(() => quantizeQ8(new Float32Array(40), 1, 40), { code: 'model_unsupported' })
})
