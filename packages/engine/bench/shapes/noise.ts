import { F32, type TensorToWrite, tensorBytes, tensorTypes } from '../../src/gguf/index.ts'
import { random } from '../numbers.ts'
import type { LayerTensor } from './shape.ts'
import { types } from './types.ts'

/**
 * The scale of a block of random bits: where it stands, and by how much its numbers are larger than their scale (the root of
 * their mean square). Of Q4_K the second number is the scale of what is subtracted, which takes the mean away.
 */
const scales = new Map<number, { at: number; spread: number; minAt?: number }>([
  [types.q4_0, { at: 0, spread: 4.6 }],
  [types.q8_0, { at: 0, spread: 74 }],
  [types.q4_K, { at: 0, spread: 258, minAt: 2 }],
  [types.q6_K, { at: 208, spread: 1365 }],
])
// Of a Q4_K block: mean of a number of four bits.
const meanOfQ4 = 7.5

/** Quantised noise that keeps the size of what is multiplied by it. Tensors of one type and shape are the same. */
export class Noise {
  readonly #made = new Map<string, Uint8Array>()
  readonly #next = random(1)

  tensor(name: string, { shape, fill }: LayerTensor): TensorToWrite {
    const type = typeof fill === 'number' ? F32 : fill.type
    const key = `${JSON.stringify(fill)} ${shape}`
    const data = this.#made.get(key) ?? (typeof fill === 'number' ? constant(shape, fill) : this.#blocks(type, shape))
    this.#made.set(key, data)
    return { name, shape, type, data }
  }

  /** A matrix of which only these rows are not zero. */
  rows(
    type: number,
    [width, count]: readonly [number, number],
    wanted: readonly number[],
  ): Omit<TensorToWrite, 'name'> {
    const row = tensorBytes(type, [width]) as number
    const data = new Uint8Array(row * count)
    const noise = this.#blocks(type, [width, wanted.length])
    for (const [i, token] of wanted.entries()) data.set(noise.subarray(i * row, (i + 1) * row), token * row)
    return { shape: [width, count], type, data }
  }

  #blocks(type: number, shape: readonly number[]): Uint8Array {
    const data = new Uint8Array(tensorBytes(type, shape) as number)
    const words = new Uint32Array(data.buffer, 0, data.length >> 2)
    // xorshift (Marsaglia 2003): a generator that is called for every four bytes.
    let state = 1 + Math.floor(this.#next() * 0xffff_fffe)
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      words[i] = state
    }
    const { bytes } = tensorTypes.get(type)!
    const wanted = 1 / Math.sqrt(shape[0]!)
    const scale = scales.get(type)
    const view = new DataView(data.buffer)
    for (let block = 0; block < data.length; block += bytes) {
      // E8M0, whose step is a power of two; values up to 6, of half of what they are.
      if (scale === undefined) data[block] = 127 + Math.round(Math.log2(wanted / 3))
      else {
        view.setFloat16(block + scale.at, wanted / scale.spread, true)
        if (scale.minAt !== undefined) view.setFloat16(block + scale.minAt, (meanOfQ4 * wanted) / scale.spread, true)
      }
    }
    return data
  }
}

function constant(shape: readonly number[], value: number): Uint8Array {
  const elements = shape.reduce((product, length) => product * length, 1)
  return new Uint8Array(new Float32Array(elements).fill(value).buffer)
}
