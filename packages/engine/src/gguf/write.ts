import { type FileHandle, open, rm } from 'node:fs/promises'
import { IncipitError } from '../api/errors.ts'
import { invalid } from './header.ts'
import { type GgufValue, type Metadata, metadataNumber, valueTypeIds } from './metadata.ts'
import { type Gguf, type GgufTensor, pad } from './read.ts'
import { tensorBytes } from './tensor-types.ts'

/** A tensor's data: bytes in memory, a range of another file, or zeros. */
export type TensorData =
  | Uint8Array
  | { readonly kind: 'range'; readonly path: string; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'zeros'; readonly bytes: number }

/** A tensor to be written. `shape` is in ggml order, `type` a ggml type id. */
export interface TensorToWrite {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: number
  readonly data: TensorData
}

// Large enough that the copy runs at the disk's speed, small beside a model.
const copyBytes = 4 * 1024 * 1024
const version = 3
const defaultAlignment = 32

/** `n` zero bytes. They become a hole in the file where the file system has holes. */
export function zeros(bytes: number): TensorData {
  return { kind: 'zeros', bytes }
}

/** A tensor of a file that was read, to be copied as it is or with changes. */
export function copyOf(gguf: Gguf, tensor: GgufTensor): TensorToWrite {
  const { name, shape, type, offset, bytes } = tensor
  return { name, shape, type, data: { kind: 'range', path: gguf.path, offset, bytes } }
}

/**
 * Writes a GGUF file (version 3, little-endian). Tensor data is streamed. The file must not exist yet, and is removed
 * again when writing fails; it is not synced to disk (`derived` does that).
 *
 * Errors: `model_invalid` when a tensor's data does not fit its shape and type, or a source file is shorter than its
 * range; the system's own error when the file cannot be written.
 */
export async function writeGguf(path: string, metadata: Metadata, tensors: readonly TensorToWrite[]): Promise<void> {
  const alignment = metadataNumber(metadata, 'general.alignment') ?? defaultAlignment
  for (const tensor of tensors) checkTensor(path, tensor)
  const header = encodeHeader(metadata, tensors, alignment)
  const out = await open(path, 'wx')
  const sources = new Sources()
  try {
    await writeAll(out, header, 0)
    let position = pad(header.length, alignment)
    for (const tensor of tensors) {
      await writeData(out, tensor.data, position, sources)
      position += pad(dataBytes(tensor.data), alignment)
    }
    // Padding and zeros were stepped over; this gives the file its full length.
    await out.truncate(tensors.length > 0 ? position : header.length)
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await out.close()
    await sources.close()
  }
}

function dataBytes(data: TensorData): number {
  return data instanceof Uint8Array ? data.byteLength : data.bytes
}

function checkTensor(path: string, tensor: TensorToWrite): void {
  const bytes = tensorBytes(tensor.type, tensor.shape)
  if (typeof bytes === 'string') throw invalid(path, `tensor '${tensor.name}' ${bytes}`)
  const given = dataBytes(tensor.data)
  if (bytes === given) return
  throw invalid(
    path,
    `tensor '${tensor.name}' of shape [${tensor.shape.join(', ')}] needs ${bytes} bytes, ${given} were given`,
  )
}

/** Source files, opened once each. */
class Sources {
  readonly #handles = new Map<string, FileHandle>()
  readonly buffer = Buffer.allocUnsafe(copyBytes)

  async get(path: string): Promise<FileHandle> {
    let handle = this.#handles.get(path)
    if (handle === undefined) {
      try {
        handle = await open(path, 'r')
      } catch (error) {
        throw new IncipitError('model_not_found', `${path}: cannot be read: ${(error as Error).message}`, {
          cause: error,
        })
      }
      this.#handles.set(path, handle)
    }
    return handle
  }

  async close(): Promise<void> {
    for (const handle of this.#handles.values()) await handle.close()
  }
}

async function writeData(out: FileHandle, data: TensorData, position: number, sources: Sources): Promise<void> {
  if (data instanceof Uint8Array) return writeAll(out, data, position)
  if (data.kind === 'zeros') return
  const source = await sources.get(data.path)
  for (let done = 0; done < data.bytes; ) {
    const wanted = Math.min(copyBytes, data.bytes - done)
    const { bytesRead } = await source.read(sources.buffer, 0, wanted, data.offset + done)
    if (bytesRead === 0)
      throw invalid(data.path, `cut short: it ended at byte ${data.offset + done} while it was copied`)
    await writeAll(out, sources.buffer.subarray(0, bytesRead), position + done)
    done += bytesRead
  }
}

async function writeAll(out: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await out.write(bytes, done, bytes.byteLength - done, position + done)
    done += bytesWritten
  }
}

function encodeHeader(metadata: Metadata, tensors: readonly TensorToWrite[], alignment: number): Buffer {
  const parts: Uint8Array[] = [Buffer.from('GGUF'), u32(version), u64(tensors.length), u64(metadata.size)]
  for (const [key, value] of metadata) {
    parts.push(...text(Buffer.from(key)), u32(valueTypeIds[value.type]), ...encodeValue(value))
  }
  let offset = 0
  for (const tensor of tensors) {
    parts.push(
      ...text(Buffer.from(tensor.name)),
      u32(tensor.shape.length),
      ...tensor.shape.map(u64),
      u32(tensor.type),
      u64(offset),
    )
    offset += pad(dataBytes(tensor.data), alignment)
  }
  return Buffer.concat(parts)
}

function encodeValue(value: GgufValue): Uint8Array[] {
  switch (value.type) {
    case 'u8':
      return [Uint8Array.of(value.value)]
    case 'i8':
      return [fixed(1, (bytes) => bytes.writeInt8(value.value))]
    case 'u16':
      return [fixed(2, (bytes) => bytes.writeUInt16LE(value.value))]
    case 'i16':
      return [fixed(2, (bytes) => bytes.writeInt16LE(value.value))]
    case 'u32':
      return [u32(value.value)]
    case 'i32':
      return [fixed(4, (bytes) => bytes.writeInt32LE(value.value))]
    case 'f32':
      return [fixed(4, (bytes) => bytes.writeFloatLE(value.value))]
    case 'f64':
      return [fixed(8, (bytes) => bytes.writeDoubleLE(value.value))]
    case 'u64':
      return [fixed(8, (bytes) => bytes.writeBigUInt64LE(value.value))]
    case 'i64':
      return [fixed(8, (bytes) => bytes.writeBigInt64LE(value.value))]
    case 'bool':
      return [Uint8Array.of(value.value ? 1 : 0)]
    case 'string':
      return text(value.raw ?? Buffer.from(value.value))
    case 'array': {
      const { of, value: elements } = value
      const bytes =
        of === 'string' ? elements.encoded : new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
      return [u32(valueTypeIds[of]), u64(elements.length), bytes]
    }
  }
}

function fixed(length: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(length)
  write(bytes)
  return bytes
}

function u32(value: number): Buffer {
  return fixed(4, (bytes) => bytes.writeUInt32LE(value))
}

function u64(value: number): Buffer {
  return fixed(8, (bytes) => bytes.writeBigUInt64LE(BigInt(value)))
}

function text(bytes: Uint8Array): Uint8Array[] {
  return [u64(bytes.byteLength), bytes]
}
