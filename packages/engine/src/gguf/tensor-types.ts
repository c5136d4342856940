/** How one ggml type stores a row: `block` elements take `bytes` bytes. */
export interface TensorType {
  readonly name: string
  /** Elements per block; a row's length is a multiple of it. */
  readonly block: number
  /** Bytes per block. */
  readonly bytes: number
}

/**
 * The ggml types of llama.cpp v0.5.0 by type id (`enum ggml_type` in ggml.h, block structs in ggml-common.h).
 * Ids that are missing here were removed from the format.
 */
export const tensorTypes: ReadonlyMap<number, TensorType> = new Map(
  (
    [
      [0, 'f32', 1, 4],
      [1, 'f16', 1, 2],
      [2, 'q4_0', 32, 18],
      [3, 'q4_1', 32, 20],
      [6, 'q5_0', 32, 22],
      [7, 'q5_1', 32, 24],
      [8, 'q8_0', 32, 34],
      [9, 'q8_1', 32, 36],
      [10, 'q2_K', 256, 84],
      [11, 'q3_K', 256, 110],
      [12, 'q4_K', 256, 144],
      [13, 'q5_K', 256, 176],
      [14, 'q6_K', 256, 210],
      [15, 'q8_K', 256, 292],
      [16, 'iq2_xxs', 256, 66],
      [17, 'iq2_xs', 256, 74],
      [18, 'iq3_xxs', 256, 98],
      [19, 'iq1_s', 256, 50],
      [20, 'iq4_nl', 32, 18],
      [21, 'iq3_s', 256, 110],
      [22, 'iq2_s', 256, 82],
      [23, 'iq4_xs', 256, 136],
      [24, 'i8', 1, 1],
      [25, 'i16', 1, 2],
      [26, 'i32', 1, 4],
      [27, 'i64', 1, 8],
      [28, 'f64', 1, 8],
      [29, 'iq1_m', 256, 56],
      [30, 'bf16', 1, 2],
      [34, 'tq1_0', 256, 54],
      [35, 'tq2_0', 256, 66],
      [39, 'mxfp4', 32, 17],
      [40, 'nvfp4', 64, 36],
      [41, 'q1_0', 128, 18],
      [42, 'q2_0', 64, 18],
    ] as const
  ).map(([id, name, block, bytes]) => [id, { name, block, bytes }]),
)

/** ggml type id of plain 32-bit floats. */
export const F32 = 0

/**
 * Bytes of a tensor's data, or the reason why there is no such tensor.
 *
 * @param type ggml type id
 * @param shape elements per dimension, fastest first (ggml `ne`); no dimensions at all is a single element
 */
export function tensorBytes(type: number, shape: readonly number[]): number | string {
  const layout = tensorTypes.get(type)
  if (layout === undefined) return `has the unknown tensor type ${type}`
  const row = shape[0] ?? 1
  if (row % layout.block !== 0) return `has rows of ${row} elements, not a multiple of ${layout.name}'s ${layout.block}`
  let bytes = (row / layout.block) * layout.bytes
  for (const n of shape.slice(1)) bytes *= n
  // Above 2^53 the product is not exact any more; no file is that large.
  if (!Number.isSafeInteger(bytes)) return `has the impossible shape [${shape.join(', ')}]`
  return bytes
}
