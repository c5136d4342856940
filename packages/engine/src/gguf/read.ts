import { type FileHandle, open, stat } from 'node:fs/promises'
import { IncipitError } from '../api/errors.ts'
import { type Cursor, HeaderReader, invalid } from './header.ts'
import {
  type GgufArray,
  GgufStrings,
  type GgufValue,
  type Metadata,
  metadataNumber,
  type NumericType,
  numericArrays,
  stringValue,
  valueTypeIds,
} from './metadata.ts'
import { tensorBytes } from './tensor-types.ts'

/** Where a tensor lies in its file. */
export interface GgufTensor {
  readonly name: string
  /** Elements per dimension, fastest first (ggml `ne`). */
  readonly shape: readonly number[]
  /** ggml type id, see `tensorTypes`. */
  readonly type: number
  /** Start of the data, in bytes from the start of the file. */
  readonly offset: number
  /** Length of the data without padding. */
  readonly bytes: number
}

/** The header of a model file. */
export interface Gguf {
  readonly path: string
  /** Size of the file in bytes. */
  readonly size: number
  readonly version: number
  /** Tensor data starts at multiples of this many bytes. */
  readonly alignment: number
  readonly metadata: Metadata
  /** In the order of the file. */
  readonly tensors: readonly GgufTensor[]
}

// Real models have some dozens of keys and at most some ten thousand tensors (one per expert in old files).
const maxKeys = 65_536
const maxTensors = 1_048_576
// Shortest possible entries, to refuse counts that cannot fit into the file: a key of one letter with a byte; a tensor
// with an empty name and no dimensions.
const minKeyBytes = 8 + 1 + 4 + 1
const minTensorBytes = 8 + 4 + 4 + 8
// GGML_MAX_NAME and GGML_MAX_DIMS of the library.
const maxNameBytes = 64
const maxDimensions = 4
const defaultAlignment = 32

const valueTypes = new Map(
  Object.entries(valueTypeIds).map(([name, id]) => [id as number, name as keyof typeof valueTypeIds]),
)

/**
 * Reads the header of a GGUF file (versions 2 and 3, little-endian); the tensor data is only checked to be there. The
 * rules are those of the library's own loader, so that a damaged file is named before native code sees it.
 *
 * Errors: `model_not_found` (missing, not a regular file, unreadable), `model_invalid` (everything else).
 */
export async function readGguf(path: string): Promise<Gguf> {
  let handle: FileHandle
  let size: number
  try {
    // Before opening: opening a pipe would wait for its writer.
    const found = await stat(path)
    if (!found.isFile()) {
      const kind = found.isDirectory() ? 'a directory' : 'not a regular file'
      throw new IncipitError('model_not_found', `${path}: ${kind}, a GGUF file is needed`)
    }
    handle = await open(path, 'r')
    size = found.size
  } catch (error) {
    if (error instanceof IncipitError) throw error
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? 'no such file' : `cannot be read: ${(error as Error).message}`
    throw new IncipitError('model_not_found', `${path}: ${why}`, { cause: error })
  }
  try {
    return await readHeader(handle, path, size)
  } catch (error) {
    if (error instanceof IncipitError) throw error
    throw new IncipitError('model_not_found', `${path}: cannot be read: ${(error as Error).message}`, { cause: error })
  } finally {
    await handle.close()
  }
}

async function readHeader(handle: FileHandle, path: string, size: number): Promise<Gguf> {
  const header = new HeaderReader(handle, path, size)
  await header.item('the magic number', (cursor) => checkMagic(path, cursor.bytes(4)))
  const version = await header.item('the version', (cursor) => checkVersion(path, cursor.u32()))
  const tensorCount = await header.item('the tensor count', (cursor) => cursor.count('the number of tensors'))
  const keyCount = await header.item('the metadata count', (cursor) => cursor.count('the number of metadata keys'))
  if (tensorCount > maxTensors || tensorCount * minTensorBytes > header.remaining) {
    throw invalid(path, `${tensorCount} tensors cannot be in a file of ${size} bytes`)
  }
  if (keyCount > maxKeys || keyCount * minKeyBytes > header.remaining) {
    throw invalid(path, `${keyCount} metadata keys cannot be in a file of ${size} bytes`)
  }

  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < keyCount; i++) {
    const [key, value] = await header.item(`metadata key ${i}`, (cursor) => readKey(path, cursor, i))
    if (metadata.has(key)) throw invalid(path, `metadata key '${key}' occurs twice`)
    metadata.set(key, value)
  }
  const alignment = readAlignment(path, metadata)

  const names = new Set<string>()
  const infos: GgufTensor[] = []
  for (let i = 0; i < tensorCount; i++) {
    const info = await header.item(`the description of tensor ${i}`, (cursor) => readTensor(path, cursor, i))
    if (names.has(info.name)) throw invalid(path, `tensor '${info.name}' occurs twice`)
    names.add(info.name)
    infos.push(info)
  }
  const tensors = placeTensors(path, size, header.position, alignment, infos)
  return { path, size, version, alignment, metadata, tensors }
}

function checkMagic(path: string, magic: Buffer): void {
  if (magic.toString('latin1') === 'GGUF') return
  throw invalid(path, `not a GGUF file: it begins with the bytes ${magic.toString('hex')}, not with 'GGUF'`)
}

function checkVersion(path: string, version: number): number {
  if (version === 2 || version === 3) return version
  // A small number with its bytes swapped.
  if (version !== 0 && (version & 0xffff) === 0)
    throw invalid(path, 'a big-endian GGUF; only little-endian is supported')
  throw invalid(path, `GGUF version ${version} is not supported, only 2 and 3 are`)
}

function readKey(path: string, cursor: Cursor, index: number): [string, GgufValue] {
  const key = cursor.text(`metadata key ${index}`).toString()
  if (key === '') throw invalid(path, `metadata key ${index} is empty`)
  return [key, readValue(path, cursor, key)]
}

function readValue(path: string, cursor: Cursor, key: string): GgufValue {
  const type = valueType(path, cursor, key)
  switch (type) {
    case 'u8':
      return { type, value: cursor.bytes(1).readUInt8() }
    case 'i8':
      return { type, value: cursor.bytes(1).readInt8() }
    case 'u16':
      return { type, value: cursor.bytes(2).readUInt16LE() }
    case 'i16':
      return { type, value: cursor.bytes(2).readInt16LE() }
    case 'u32':
      return { type, value: cursor.u32() }
    case 'i32':
      return { type, value: cursor.bytes(4).readInt32LE() }
    case 'f32':
      return { type, value: cursor.bytes(4).readFloatLE() }
    case 'f64':
      return { type, value: cursor.bytes(8).readDoubleLE() }
    case 'u64':
      return { type, value: cursor.bytes(8).readBigUInt64LE() }
    case 'i64':
      return { type, value: cursor.bytes(8).readBigInt64LE() }
    case 'bool':
      return { type, value: cursor.bytes(1).readUInt8() !== 0 }
    case 'string':
      return stringValue(cursor.text(`'${key}'`))
    case 'array':
      return readArray(path, cursor, key)
  }
}

function valueType(path: string, cursor: Cursor, key: string): keyof typeof valueTypeIds {
  const id = cursor.u32()
  const type = valueTypes.get(id)
  if (type === undefined) throw invalid(path, `metadata key '${key}' has the unknown type ${id}`)
  return type
}

function readArray(path: string, cursor: Cursor, key: string): GgufArray {
  const of = valueType(path, cursor, key)
  const length = cursor.count(`the length of '${key}'`)
  // The library reads none either.
  if (of === 'array') throw invalid(path, `metadata key '${key}' is an array of arrays`)
  if (of === 'string') return { type: 'array', of, value: readStrings(cursor, key, length) }
  const elements = numericArrays[of]
  // A copy: the window is not aligned, and must not be kept alive by a value.
  const bytes = Uint8Array.from(cursor.bytes(length * elements.BYTES_PER_ELEMENT))
  return { type: 'array', of: of as NumericType, value: new elements(bytes.buffer) } as GgufArray
}

function readStrings(cursor: Cursor, key: string, length: number): GgufStrings {
  const first = cursor.position
  // Every string has a length field: ask for that many bytes before anything is allocated for them.
  cursor.bytes(length * 8)
  cursor.position = first
  const what = `the length of a string in '${key}'`
  const starts = new Uint32Array(length + 1)
  for (let i = 0; i < length; i++) {
    starts[i] = cursor.position - first
    cursor.skip(cursor.count(what))
  }
  const bytes = cursor.position - first
  starts[length] = bytes
  cursor.position = first
  return new GgufStrings(Uint8Array.from(cursor.bytes(bytes)), starts)
}

function readAlignment(path: string, metadata: Metadata): number {
  const value = metadata.get('general.alignment')
  if (value === undefined) return defaultAlignment
  const alignment = metadataNumber(metadata, 'general.alignment') ?? 0
  if (value.type !== 'u32' || alignment === 0 || (alignment & (alignment - 1)) !== 0) {
    throw invalid(path, `general.alignment is not a power of two in 32 bits: ${value.type} ${String(value.value)}`)
  }
  return alignment
}

/** The offset of the result is still relative to the data section. */
function readTensor(path: string, cursor: Cursor, index: number): GgufTensor {
  const nameBytes = cursor.text(`the name of tensor ${index}`)
  if (nameBytes.length >= maxNameBytes) {
    throw invalid(
      path,
      `the name of tensor ${index} has ${nameBytes.length} bytes, at most ${maxNameBytes - 1} are allowed`,
    )
  }
  const name = nameBytes.toString()
  const dimensions = cursor.u32()
  if (dimensions > maxDimensions) throw invalid(path, `tensor '${name}' has ${dimensions} dimensions`)
  const shape = Array.from({ length: dimensions }, () => cursor.count(`a dimension of '${name}'`))
  const type = cursor.u32()
  const offset = cursor.count(`the offset of '${name}'`)
  const bytes = tensorBytes(type, shape)
  if (typeof bytes === 'string') throw invalid(path, `tensor '${name}' ${bytes}`)
  return { name, shape, type, offset, bytes }
}

/** The library wants the tensors one after the other, each padded to the alignment. */
function placeTensors(
  path: string,
  size: number,
  headerEnd: number,
  alignment: number,
  infos: readonly GgufTensor[],
): GgufTensor[] {
  const dataStart = pad(headerEnd, alignment)
  let expected = 0
  return infos.map((info) => {
    const where = `the data of tensor '${info.name}'`
    if (info.offset % alignment !== 0)
      throw invalid(path, `${where} is misaligned: offset ${info.offset}, alignment ${alignment}`)
    if (info.offset < expected)
      throw invalid(path, `${where} overlaps the tensor before it (offset ${info.offset}, expected ${expected})`)
    if (info.offset > expected)
      throw invalid(path, `${where} leaves a gap (offset ${info.offset}, expected ${expected})`)
    const offset = dataStart + info.offset
    if (offset + info.bytes > size) {
      throw invalid(path, `cut short: ${where} ends at byte ${offset + info.bytes}, the file at byte ${size}`)
    }
    expected += pad(info.bytes, alignment)
    return { ...info, offset }
  })
}

/** `n` rounded up to a multiple of `alignment`. */
export function pad(n: number, alignment: number): number {
  return Math.ceil(n / alignment) * alignment
}
