// What nvcc puts into a library: containers with a kernel file's machine code for some cards and PTX for others, one entry
// each (16 bytes of header, then entries; all numbers little-endian).
const magic = Buffer.from([0x50, 0xed, 0x55, 0xba])
const kinds = { ptx: 1, machineCode: 2 } as const
const headerSizeAt = 6
const sizeAt = 8
// Of an entry.
const entryHeaderSizeAt = 4
const entrySizeAt = 8
const capabilityAt = 28

interface Entry {
  readonly kind: number
  readonly capability: number
  readonly from: number
  readonly to: number
}

/**
 * A copy of a library with what one card takes of its kernels: in every container the one entry that its driver would choose,
 * and zeros instead of the others, which compress to nothing.
 * @param capability of the card: 90 for 9.0
 */
export function forCapability(library: Uint8Array, capability: number): Buffer {
  const slim = Buffer.from(library)
  let containers = 0
  for (let at = slim.indexOf(magic); at >= 0; ) {
    const header = slim.readUInt16LE(at + headerSizeAt)
    const end = at + header + Number(slim.readBigUInt64LE(at + sizeAt))
    const { from, to } = chosen(entriesOf(slim, at + header, end), capability)
    slim.copyWithin(at + header, from, to)
    slim.fill(0, at + header + (to - from), end)
    slim.writeBigUInt64LE(BigInt(to - from), at + sizeAt)
    containers++
    at = slim.indexOf(magic, end)
  }
  if (containers === 0) throw new Error('a library without kernels for CUDA')
  return slim
}

function entriesOf(library: Buffer, from: number, end: number): Entry[] {
  const entries: Entry[] = []
  for (let at = from; at < end; ) {
    const to = at + library.readUInt32LE(at + entryHeaderSizeAt) + Number(library.readBigUInt64LE(at + entrySizeAt))
    const kind = library.readUInt16LE(at)
    entries.push({ kind, capability: library.readUInt32LE(at + capabilityAt), from: at, to })
    at = to
  }
  return entries
}

/** Machine code of the same generation and not newer than the card; else the newest PTX that it can compile. */
function chosen(entries: readonly Entry[], capability: number): Entry {
  const generation = Math.floor(capability / 10)
  const fitting = entries
    .filter((entry) => entry.capability <= capability)
    .filter(({ kind, capability }) => kind === kinds.ptx || Math.floor(capability / 10) === generation)
    .sort((a, b) => a.kind - b.kind || a.capability - b.capability)
  const best = fitting.at(-1)
  if (best === undefined) throw new Error(`kernels that a card of capability ${capability} cannot run`)
  return best
}
