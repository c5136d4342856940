import koffi from 'koffi'
import { IncipitError } from '../errors.ts'
import { TypeTraits } from './layouts.ts'
import { library, type Pointer } from './library.ts'

/** ggml type ids used by name here. */
export const ggmlType = { f32: 0, f16: 1, q8_0: 8 } as const

const toFloat = koffi.proto('void ggml_to_float_t(void *x, void *y, int64_t k)')

/** Decodes `count` values of any ggml type into floats. */
export function dequantize(type: number, bytes: Uint8Array, count: number): Float32Array {
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

/** Encodes rows x columns floats as Q8_0 (34 bytes per 32 values). */
export function quantizeQ8(values: Float32Array, rows: number, columns: number): Uint8Array {
  const bytes = new Uint8Array((rows * columns * 34) / 32)
  library().quantizeChunk(ggmlType.q8_0, values, bytes, 0, rows, columns, null)
  return bytes
}
