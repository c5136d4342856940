import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { allData, model, small, temporaryDirectory, tensorData } from '../../test/fixtures/gguf.ts'
import { type GgufArray, GgufStrings, type GgufValue, type NumericType, numericArrays } from './metadata.ts'
import { readGguf } from './read.ts'
import { F32 } from './tensor-types.ts'
import { copyOf, type TensorToWrite, writeGguf, zeros } from './write.ts'

for (const name of ['stories260K.gguf', 'SmolLM2-135M-Instruct.Q4_1.gguf']) {
  const { path, skip } = model(name)
  test(`${name}: read and written again, it has the same content`, { skip }, async (t) => {
    const copy = join(await temporaryDirectory(t), 'copy.gguf')
    const gguf = await readGguf(path)
    await writeGguf(
      copy,
      gguf.metadata,
      gguf.tensors.map((tensor) => copyOf(gguf, tensor)),
    )
    const written = await readGguf(copy)
    assert.deepEqual(written.metadata, gguf.metadata)
    assert.deepEqual(
      written.tensors.map(({ name, shape, type }) => ({ name, shape, type })),
      gguf.tensors.map(({ name, shape, type }) => ({ name, shape, type })),
    )
    for (const [i, tensor] of gguf.tensors.entries()) {
      const same = (await tensorData(gguf, tensor)).equals(await tensorData(written, written.tensors[i]!))
      assert.ok(same, tensor.name)
    }
  })
}

const integer = (min: number, max: number) => fc.integer({ min, max })
const scalar: fc.Arbitrary<GgufValue> = fc.oneof(
  integer(0, 255).map((value) => ({ type: 'u8', value }) as const),
  integer(-128, 127).map((value) => ({ type: 'i8', value }) as const),
  integer(0, 65535).map((value) => ({ type: 'u16', value }) as const),
  integer(-32768, 32767).map((value) => ({ type: 'i16', value }) as const),
  integer(0, 2 ** 32 - 1).map((value) => ({ type: 'u32', value }) as const),
  integer(-(2 ** 31), 2 ** 31 - 1).map((value) => ({ type: 'i32', value }) as const),
  fc.float().map((value) => ({ type: 'f32', value }) as const),
  fc.double().map((value) => ({ type: 'f64', value }) as const),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ type: 'u64', value }) as const),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ type: 'i64', value }) as const),
  fc.boolean().map((value) => ({ type: 'bool', value }) as const),
  fc.string({ unit: 'grapheme' }).map((value) => ({ type: 'string', value }) as const),
)
const strings = fc
  .array(fc.string({ unit: 'grapheme' }))
  .map((value) => ({ type: 'array', of: 'string', value: GgufStrings.from(value) }) as const)
const numbers = fc
  .tuple(fc.constantFrom(...(Object.keys(numericArrays) as NumericType[])), fc.uint8Array({ maxLength: 5 }))
  .map(([of, elements]) => {
    const bytes = new Uint8Array(elements.length * numericArrays[of].BYTES_PER_ELEMENT).map(
      (_, i) => elements[i % elements.length]!,
    )
    return { type: 'array', of, value: new numericArrays[of](bytes.buffer) } as GgufArray
  })
const entry = fc.tuple(fc.string({ minLength: 1, unit: 'grapheme' }), fc.oneof(scalar, strings, numbers))
const entries = fc.uniqueArray(entry, { selector: ([key]) => key, maxLength: 6 })
const alignments = fc.constantFrom(undefined, 8, 32, 256)

test('any metadata and tensors come back as they were written', async (t) => {
  const directory = await temporaryDirectory(t)
  let n = 0
  const tensorSizes = fc.array(fc.nat(40), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(entries, tensorSizes, alignments, async (given, sizes, alignment) => {
      const metadata = new Map<string, GgufValue>(given)
      if (alignment !== undefined) metadata.set('general.alignment', { type: 'u32', value: alignment })
      const tensors = sizes.map((size, i): TensorToWrite => {
        const data = Buffer.alloc(size * 4, i + 1)
        return { name: `t${i}`, shape: [size], type: F32, data: i % 2 === 0 ? data : zeros(size * 4) }
      })
      const path = join(directory, `${n++}.gguf`)
      await writeGguf(path, metadata, tensors)
      const written = await readGguf(path)
      assert.deepEqual([...written.metadata], [...metadata])
      const data = await allData(written)
      sizes.forEach((size, i) => {
        assert.equal(data.get(`t${i}`), Buffer.alloc(size * 4, i % 2 === 0 ? i + 1 : 0).toString('hex'))
      })
    }),
    { numRuns: 60 },
  )
})

test('strings that are not valid UTF-8 survive a copy', async (t) => {
  const directory = await temporaryDirectory(t)
  const broken = Uint8Array.of(0x61, 0xff, 0x62)
  const encoded = Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, ...broken)
  const metadata = new Map<string, GgufValue>([
    ['one', { type: 'string', value: 'a\ufffdb', raw: broken }],
    ['many', { type: 'array', of: 'string', value: new GgufStrings(encoded, Uint32Array.of(0, 11)) }],
  ])
  await writeGguf(join(directory, '1.gguf'), metadata, [])
  await writeGguf(join(directory, '2.gguf'), (await readGguf(join(directory, '1.gguf'))).metadata, [])
  const bytes = await readFile(join(directory, '2.gguf'))
  assert.equal(bytes.toString('latin1').split('a\xffb').length, 3)
  assert.deepEqual(bytes, await readFile(join(directory, '1.gguf')))
})

test('a slice of strings is the strings of the slice', () => {
  const list = GgufStrings.from(['a', '', 'ccc', 'dd'])
  assert.deepEqual([...list.slice(1, 3)], ['', 'ccc'])
  assert.deepEqual([...list.slice(2, 2)], [])
})

test('data that does not fit the shape is refused, and nothing is written', async (t) => {
  const path = join(await temporaryDirectory(t), 'bad.gguf')
  const bad = { ...small('a', 1), shape: [3] }
  await assert.rejects(writeGguf(path, new Map(), [bad]), {
    code: 'model_invalid',
    message: /'a' .* needs 12 bytes, 8 were/,
  })
  assert.ok(!existsSync(path))
})

test('a source that is shorter than its range leaves no file behind', async (t) => {
  const directory = await temporaryDirectory(t)
  const [source, path] = [join(directory, 'source'), join(directory, 'out.gguf')]
  await writeFile(source, Buffer.alloc(10))
  const data = { kind: 'range', path: source, offset: 4, bytes: 8 } as const
  await assert.rejects(writeGguf(path, new Map(), [{ ...small('a', 1), data }]), {
    code: 'model_invalid',
    message: /cut short/,
  })
  assert.ok(!existsSync(path))
})

test('an existing file is not overwritten', async (t) => {
  const path = join(await temporaryDirectory(t), 'kept.gguf')
  await writeFile(path, 'precious')
  await assert.rejects(writeGguf(path, new Map(), []), { code: 'EEXIST' })
  assert.equal(await readFile(path, 'utf8'), 'precious')
})
