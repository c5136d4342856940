import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { model, temporaryDirectory, tensorData } from '../../test/fixtures/gguf.ts'
import { full } from '../../test/fixtures/test-size.ts'
import { IncipitError } from '../api/errors.ts'
import { GgufStrings, metadataNumber } from './metadata.ts'
import { readGguf } from './read.ts'
import { tensorBytes, tensorTypes } from './tensor-types.ts'
import { writeGguf } from './write.ts'

const stories = model('stories260K.gguf')
const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')

// A file in the raw: every field can be wrong.
const u32 = (n: number) => Buffer.from(Uint32Array.of(n).buffer)
const u64 = (n: number | bigint) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer)
const text = (s: string) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)])
const key = (name: string, type: number, ...value: Buffer[]) => Buffer.concat([text(name), u32(type), ...value])
const tensor = (name: string, shape: (number | bigint)[], type: number, offset: number | bigint) =>
  Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset)])
const start = (version: number, tensors: number | bigint, keys: number | bigint) =>
  Buffer.concat([Buffer.from('GGUF'), u32(version), u64(tensors), u64(keys)])

interface Raw {
  keys?: Buffer[]
  tensors?: Buffer[]
  data?: number
}

function file({ keys = [], tensors = [], data = 0 }: Raw): Buffer {
  const header = Buffer.concat([start(3, tensors.length, keys.length), ...keys, ...tensors])
  const padding = (32 - (header.length % 32)) % 32
  return Buffer.concat([header, Buffer.alloc(padding + data)])
}

async function isInvalid(t: TestContext, content: Buffer, why: RegExp): Promise<void> {
  const path = join(await temporaryDirectory(t), 'broken.gguf')
  await writeFile(path, content)
  await assert.rejects(readGguf(path), (error) => {
    assert.ok(error instanceof IncipitError, String(error))
    assert.equal(error.code, 'model_invalid')
    assert.ok(error.message.startsWith(`${path}: `), error.message)
    assert.match(error.message, why)
    return true
  })
}

test('a small real model: values, strings, shapes and data', { skip: stories.skip }, async () => {
  const gguf = await readGguf(stories.path)
  assert.equal(gguf.version, 3)
  assert.deepEqual(gguf.metadata.get('general.architecture'), { type: 'string', value: 'llama' })
  assert.deepEqual(gguf.metadata.get('llama.block_count'), { type: 'u32', value: 5 })
  assert.deepEqual(gguf.metadata.get('llama.rope.freq_base'), { type: 'f32', value: 10000 })
  const tokens = gguf.metadata.get('tokenizer.ggml.tokens')?.value
  assert.ok(tokens instanceof GgufStrings)
  assert.equal(tokens.length, 512)
  assert.deepEqual([tokens.at(0), tokens.at(1), tokens.at(3), tokens.at(512)], ['<unk>', '<s>', '<0x00>', undefined])
  assert.equal(gguf.tensors.length, 48)
  const norm = gguf.tensors.find(({ name }) => name === 'blk.0.ffn_down.weight')
  assert.ok(norm)
  assert.deepEqual(norm.shape, [172, 64])
  assert.equal(norm.bytes, 172 * 64 * 4)
  // The data really lies there: weights are small numbers, and bytes at a wrong offset would not be.
  const values = new Float32Array((await tensorData(gguf, norm)).buffer)
  assert.ok(values.every((x) => Math.abs(x) < 8) && values.some((x) => Math.abs(x) > 0.01))
})

test('a quantised model with a large vocabulary', { skip: smol.skip }, async () => {
  const gguf = await readGguf(smol.path)
  const embedding = gguf.tensors[0]
  assert.deepEqual([embedding?.name, embedding?.type, embedding?.shape], ['token_embd.weight', 8, [576, 49152]])
  assert.equal(embedding?.bytes, (576 / 32) * 34 * 49152)
  const last = gguf.tensors.at(-1)
  assert.ok(last)
  assert.ok(gguf.size - (last.offset + last.bytes) < gguf.alignment)
  const merges = gguf.metadata.get('tokenizer.ggml.merges')?.value
  assert.ok(merges instanceof GgufStrings)
  assert.equal([...merges].length, merges.length)
  assert.equal(merges.at(1), 'Ġ a')
})

test('version 2 is read', async (t) => {
  const path = join(await temporaryDirectory(t), 'v2.gguf')
  await writeFile(path, start(2, 0, 0))
  assert.equal((await readGguf(path)).version, 2)
})

test('general.alignment moves the data', async (t) => {
  const path = join(await temporaryDirectory(t), 'aligned.gguf')
  const header = Buffer.concat([start(3, 1, 1), key('general.alignment', 4, u32(512)), tensor('a', [4], 0, 0)])
  await writeFile(path, Buffer.concat([header, Buffer.alloc(512 - header.length + 16)]))
  assert.equal((await readGguf(path)).tensors[0]?.offset, 512)
})

test('a header larger than the first window', async (t) => {
  const path = join(await temporaryDirectory(t), 'large.gguf')
  const strings = Array.from({ length: 60_000 }, (_, i) => `token number ${i}`)
  const value = { type: 'array', of: 'string', value: GgufStrings.from(strings) } as const
  await writeGguf(path, new Map([['list', value]]), [])
  const list = (await readGguf(path)).metadata.get('list')?.value
  assert.ok(list instanceof GgufStrings)
  assert.deepEqual([...list], strings)
})

test('data beyond 4 GiB is found and not read', async (t) => {
  const path = join(await temporaryDirectory(t), 'sparse.gguf')
  const big = 1_500_000_000
  await writeFile(path, file({ tensors: [tensor('a', [big], 0, 0), tensor('b', [2], 0, big * 4)] }))
  await truncate(path, big * 4 + 4096)
  assert.ok((await readGguf(path)).tensors[1]!.offset > 2 ** 32)
})

test('a missing file, a directory and an impossible path are not found', async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'd.gguf'))
  for (const path of [join(directory, 'no.gguf'), join(directory, 'd.gguf'), '', 'a\0b']) {
    await assert.rejects(readGguf(path), { name: 'IncipitError', code: 'model_not_found' })
  }
})

const good = tensor('a', [4], 0, 0)
const cases: [string, Buffer, RegExp][] = [
  ['an empty file', Buffer.alloc(0), /ends at byte 0, in the magic number/],
  ['another kind of file', Buffer.from('PK\x03\x04 and so on'), /not a GGUF file/],
  ['version 1', start(1, 0, 0), /version 1 is not supported/],
  ['version 4', start(4, 0, 0), /version 4 is not supported/],
  ['a big-endian file', start(0x03000000, 0, 0), /big-endian/],
  ['a header that ends after the version', start(3, 0, 0).subarray(0, 12), /cut short.*tensor count/],
  ['more tensors than bytes', start(3, 1000, 0), /1000 tensors cannot be/],
  ['an absurd tensor count', start(3, 2n ** 63n, 0), /absurd 9223372036854775808/],
  ['more keys than bytes', start(3, 0, 2 ** 40), /1099511627776 metadata keys cannot be/],
  ['a string longer than the file', file({ keys: [key('k', 8, u64(2 ** 40))] }), /cut short.*metadata key 0/],
  ['an array longer than the file', file({ keys: [key('k', 9, u32(4), u64(2 ** 50))] }), /cut short.*metadata key 0/],
  ['a string array longer than the file', file({ keys: [key('k', 9, u32(8), u64(2 ** 31))] }), /cut short/],
  ['an array of arrays', file({ keys: [key('k', 9, u32(9), u64(0))] }), /array of arrays/],
  ['an unknown value type', file({ keys: [key('k', 13, u32(0))] }), /'k' has the unknown type 13/],
  ['an empty key', file({ keys: [key('', 4, u32(0))] }), /key 0 is empty/],
  ['a key twice', file({ keys: [key('k', 4, u32(0)), key('k', 4, u32(1))] }), /'k' occurs twice/],
  ['an alignment that is no power of two', file({ keys: [key('general.alignment', 4, u32(48))] }), /power of two/],
  ['an alignment of zero', file({ keys: [key('general.alignment', 4, u32(0))] }), /power of two/],
  ['an alignment of another type', file({ keys: [key('general.alignment', 10, u64(64))] }), /power of two/],
  ['a tensor name too long', file({ tensors: [tensor('x'.repeat(64), [4], 0, 0)], data: 64 }), /has 64 bytes/],
  ['a tensor twice', file({ tensors: [good, tensor('a', [4], 0, 32)], data: 64 }), /'a' occurs twice/],
  ['five dimensions', file({ tensors: [tensor('a', [1, 1, 1, 1, 1], 0, 0)], data: 64 }), /5 dimensions/],
  ['an impossible shape', file({ tensors: [tensor('a', [2 ** 40, 2 ** 40], 0, 0)], data: 64 }), /impossible shape/],
  ['a removed tensor type', file({ tensors: [tensor('a', [32], 4, 0)], data: 64 }), /unknown tensor type 4/],
  ['a row of half a block', file({ tensors: [tensor('a', [48], 2, 0)], data: 64 }), /multiple of q4_0's 32/],
  ['data beyond the end', file({ tensors: [tensor('a', [4], 0, 0)], data: 15 }), /cut short: .* 'a' ends at byte 80/],
  ['a misaligned tensor', file({ tensors: [good, tensor('b', [4], 0, 16)], data: 64 }), /'b' is misaligned/],
  ['overlapping tensors', file({ tensors: [good, tensor('b', [4], 0, 0)], data: 64 }), /'b' overlaps/],
  ['a gap between tensors', file({ tensors: [good, tensor('b', [4], 0, 64)], data: 96 }), /'b' leaves a gap/],
]
for (const [what, content, why] of cases) test(`invalid: ${what}`, (t) => isInvalid(t, content, why))

test('the smallest sound file with a tensor is accepted', async (t) => {
  // The control of the cases above: the same builder, nothing wrong.
  const path = join(await temporaryDirectory(t), 'sound.gguf')
  await writeFile(path, file({ keys: [key('k', 4, u32(7))], tensors: [good, tensor('b', [4], 0, 32)], data: 48 }))
  const gguf = await readGguf(path)
  assert.equal(metadataNumber(gguf.metadata, 'k'), 7)
  assert.deepEqual(
    gguf.tensors.map(({ name }) => name),
    ['a', 'b'],
  )
})

test('every type has whole blocks of bytes, and the sizes of the library', () => {
  assert.equal(tensorTypes.size, 35)
  // bits per weight as llama.cpp's documentation gives them
  const bits = (name: string) => {
    const [id, { block }] = [...tensorTypes].find(([, type]) => type.name === name)!
    return ((tensorBytes(id, [block, 3]) as number) / (block * 3)) * 8
  }
  assert.deepEqual(
    ['f16', 'q4_0', 'q4_1', 'q8_0', 'q4_K', 'q6_K', 'mxfp4'].map(bits),
    [16, 4.5, 5, 8.5, 4.5, 6.5625, 4.25],
  )
})

test('fuzz: a damaged file parses or is called invalid', { skip: stories.skip, timeout: 120_000 }, async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'fuzzed.gguf')
  await copyFile(stories.path, path)
  const original = await readFile(stories.path)
  const headerEnd = (await readGguf(stories.path)).tensors[0]!.offset
  const numRuns = full ? 400 : 100
  let refused = 0
  const flip = fc.record({ at: fc.nat(headerEnd - 1), to: fc.nat(255) })
  const damage = fc.record({
    flips: fc.array(flip, { maxLength: 4 }),
    length: fc.option(fc.oneof(fc.nat(headerEnd), fc.nat(original.length))),
  })
  await fc.assert(
    fc.asyncProperty(damage, async ({ flips, length }) => {
      const bytes = Buffer.from(original)
      for (const { at, to } of flips) bytes[at] = to
      await writeFile(path, length === null ? bytes : bytes.subarray(0, length))
      await readGguf(path).catch((error: unknown) => {
        refused++
        assert.ok(error instanceof IncipitError && error.code === 'model_invalid', String(error))
      })
    }),
    { numRuns },
  )
  assert.ok(refused > numRuns / 4, `only ${refused} of ${numRuns} damaged files were refused`)
})

test('fuzz: each field of a small header at its extremes', async (t) => {
  // Flips of a large header hit lengths and counts rarely; this one is nearly nothing else.
  const path = join(await temporaryDirectory(t), 'extreme.gguf')
  const keys = [
    key('s', 8, text('abc')),
    key('l', 9, u32(8), u64(2), text('x'), text('y')),
    key('n', 9, u32(5), u64(1), u32(1)),
  ]
  const sound = file({ keys, tensors: [good, tensor('b', [32, 2], 2, 32)], data: 96 })
  const extremes = [0n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 64n - 1n]
  for (let at = 4; at + 8 <= sound.length; at++) {
    for (const extreme of extremes) {
      const bytes = Buffer.from(sound)
      bytes.writeBigUInt64LE(extreme, at)
      await writeFile(path, bytes)
      await readGguf(path).catch((error: unknown) => {
        assert.ok(
          error instanceof IncipitError && error.code === 'model_invalid',
          `${extreme} at ${at}: ${String(error)}`,
        )
      })
    }
  }
})
