import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { IncipitError } from '../api/errors.ts'
import { libraryVersion } from './layouts.ts'

// What llama_state_seq_save_file writes: magic, version, number of tokens, the tokens (4 bytes each), the state.
// We append a checksum and this mark.
const headerBytes = 12
const mark = 0x494e4350
const trailerBytes = 8
const chunkBytes = 4 * 1024 * 1024

/**
 * Completes the file of a saved sequence by a checksum over all of it. llama.cpp trusts what it reads: counts that are
 * not its own would end the process. Files of another library version count as damaged.
 */
export async function seal(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    const trailer = Buffer.alloc(trailerBytes)
    trailer.writeUInt32LE(await checksum(file, size), 0)
    trailer.writeUInt32LE(mark, 4)
    await file.write(trailer, 0, trailerBytes, size)
  } finally {
    await file.close()
  }
}

/**
 * The tokens of a saved sequence, after everything in the file was checked.
 * @throws IncipitError `prefix_invalid`
 */
export async function checkedTokens(path: string): Promise<number[]> {
  const invalid = (why: string, cause?: unknown) => new IncipitError('prefix_invalid', `${path}: ${why}`, { cause })
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    throw invalid(`cannot be read: ${(error as Error).message}`, error)
  }
  try {
    const size = (await file.stat()).size - trailerBytes
    const trailer = Buffer.alloc(trailerBytes)
    if (size < headerBytes) throw invalid('cut short')
    await file.read(trailer, 0, trailerBytes, size)
    if (trailer.readUInt32LE(4) !== mark) throw invalid('cut short, or no saved sequence')
    if (trailer.readUInt32LE(0) !== (await checksum(file, size))) {
      throw invalid(`damaged, or saved by another version of llama.cpp than ${libraryVersion}`)
    }
    const header = Buffer.alloc(headerBytes)
    await file.read(header, 0, headerBytes, 0)
    const tokens = Buffer.alloc(4 * header.readUInt32LE(8))
    await file.read(tokens, 0, tokens.length, headerBytes)
    return Array.from({ length: tokens.length / 4 }, (_, i) => tokens.readInt32LE(4 * i))
  } finally {
    await file.close()
  }
}

/** CRC-32 of the first `size` bytes, begun with the library's version. */
async function checksum(file: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.alloc(Math.min(chunkBytes, size))
  let value = crc32(libraryVersion)
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - done), done)
    if (bytesRead === 0) break
    value = crc32(buffer.subarray(0, bytesRead), value)
    done += bytesRead
  }
  return value
}
