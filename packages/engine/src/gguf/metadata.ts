/** Arrays of fixed-size elements, kept as the file's own bits. `bool` is one byte per element. */
interface NumericArrays {
  u8: Uint8Array
  i8: Int8Array
  u16: Uint16Array
  i16: Int16Array
  u32: Uint32Array
  i32: Int32Array
  f32: Float32Array
  bool: Uint8Array
  u64: BigUint64Array
  i64: BigInt64Array
  f64: Float64Array
}

export type NumericType = keyof NumericArrays

export type GgufArray =
  | { [K in NumericType]: { readonly type: 'array'; readonly of: K; readonly value: NumericArrays[K] } }[NumericType]
  | { readonly type: 'array'; readonly of: 'string'; readonly value: GgufStrings }

/**
 * One metadata value with the type it is stored in, so that writing gives back what was read. `raw` holds the bytes of
 * a string that is not valid UTF-8 (`value` then has replacement characters).
 */
export type GgufValue =
  | { readonly type: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'; readonly value: number }
  | { readonly type: 'u64' | 'i64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string; readonly raw?: Uint8Array }
  | GgufArray

export type Metadata = ReadonlyMap<string, GgufValue>

/** Type ids of metadata values in the file (`enum gguf_type`). */
export const valueTypeIds = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const

/** Typed arrays of the element types. They use the machine's byte order: llama.cpp runs on little-endian ones only. */
export const numericArrays = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  bool: Uint8Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const

// ignoreBOM keeps a leading U+FEFF: it is a token of some vocabularies.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
const strictUtf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

/** A metadata string from its bytes; they are kept where they are not valid UTF-8. */
export function stringValue(bytes: Uint8Array): GgufValue {
  try {
    return { type: 'string', value: strictUtf8.decode(bytes) }
  } catch {
    return { type: 'string', value: utf8.decode(bytes), raw: bytes.slice() }
  }
}

/**
 * An array of strings in its encoded form (for each a u64 length, then the bytes). A vocabulary costs one scan of the
 * lengths; strings are decoded when asked for, and bytes that are not valid UTF-8 survive a copy.
 */
export class GgufStrings implements Iterable<string> {
  readonly length: number
  readonly encoded: Uint8Array
  // Where each string's length field begins; one more entry for the end.
  readonly #starts: Uint32Array

  /** `encoded` must hold exactly the strings whose length fields begin at `starts`, which ends with the total. */
  constructor(encoded: Uint8Array, starts: Uint32Array) {
    this.encoded = encoded
    this.#starts = starts
    this.length = starts.length - 1
  }

  static from(strings: readonly string[]): GgufStrings {
    const items = strings.map((text) => Buffer.from(text))
    const starts = new Uint32Array(items.length + 1)
    items.forEach((item, i) => {
      starts[i + 1] = starts[i]! + 8 + item.length
    })
    const encoded = new Uint8Array(starts[items.length]!)
    const view = new DataView(encoded.buffer)
    items.forEach((item, i) => {
      view.setBigUint64(starts[i]!, BigInt(item.length), true)
      encoded.set(item, starts[i]! + 8)
    })
    return new GgufStrings(encoded, starts)
  }

  /** The string at `index`, `undefined` outside. */
  at(index: number): string | undefined {
    const start = this.#starts[index]
    const end = this.#starts[index + 1]
    if (start === undefined || end === undefined) return undefined
    return utf8.decode(this.encoded.subarray(start + 8, end))
  }

  slice(from: number, to: number): GgufStrings {
    const starts = this.#starts.slice(from, to + 1)
    const base = starts[0] ?? 0
    const encoded = this.encoded.slice(base, starts.at(-1) ?? base)
    return new GgufStrings(
      encoded,
      starts.map((start) => start - base),
    )
  }

  *[Symbol.iterator](): IterableIterator<string> {
    for (let i = 0; i < this.length; i++) yield this.at(i)!
  }
}

/** The string stored under `key`, `undefined` where there is none. */
export function metadataString(metadata: Metadata, key: string): string | undefined {
  const value = metadata.get(key)
  return value?.type === 'string' ? value.value : undefined
}

/** The number stored under `key` in any numeric type, `undefined` where there is none. */
export function metadataNumber(metadata: Metadata, key: string): number | undefined {
  const value = metadata.get(key)?.value
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined
}
