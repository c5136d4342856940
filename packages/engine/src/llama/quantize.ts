import koffi from 'koffi'
import { IncipitError } from '../api/errors.ts'
import { tensorBytes } from '../gguf/index.ts'
import { TypeTraits } from './layouts.ts'
import { library, type Pointer } from './library.ts'

/** ggml type ids used by name here. */
export const ggmlType = { f32: 0, f16: 1, q8_0: 8 } as const

const toFloat = koffi.proto('void ggml_to_float_t(void *x, void *y, int64_t k)')

/**
 * Decodes `count` values of any ggml type into floats.
 * @throws IncipitError `model_unsupported` for a type that cannot be decoded, RangeError when `bytes` holds fewer
 */
export function dequantize(type: number, bytes: Uint8Array, count: number): Float32Array {
  checkBytes(type, [count], bytes.length)
  if (type === ggmlType.f32) {
    const copy = new Float32Array(count)
    new Uint8Array(copy.buffer).set(bytes.subarray(0, 4 * count))
    return copy
  }
  const traits = koffi.decode(library().typeTraits(type), TypeTraits) as { to_float: Pointer | null; type_name: string }
  if (!traits.to_float) throw new IncipitError('model_unsupported', `cannot decode tensors of type ${traits.type_name}`)
  const values = new Float32Array(count)
  koffi.call(traits.to_float, toFloat, bytes, values, count)
  return values
}

/**
 * Encodes rows x columns floats as Q8_0 (34 bytes per 32 values).
 * @throws IncipitError `model_unsupported` when a row is no multiple of 32 values, RangeError when there are fewer values
 */
export function quantizeQ8(values: Float32Array, rows: number, columns: number): Uint8Array {
  checkBytes(ggmlType.f32, [columns, rows], values.byteLength)
  const bytes = new Uint8Array(checkBytes(ggmlType.q8_0, [columns, rows]))
  library().quantizeChunk(ggmlType.q8_0, values, bytes, 0, rows, columns, null)
  return bytes
}

/** Native code trusts sizes: it would read and write past the end of an array. */
function checkBytes(type: number, shape: readonly number[], held = Number.POSITIVE_INFINITY): number {
  const needed = tensorBytes(type, shape)
  if (typeof needed === 'string') throw new IncipitError('model_unsupported', `a tensor ${needed}`)
  if (held < needed) throw new RangeError(`${held} bytes where ${needed} are needed`)
  return needed
}
