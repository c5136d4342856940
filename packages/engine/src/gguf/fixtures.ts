import { existsSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { GgufValue } from './metadata.ts'
import type { Gguf, GgufTensor } from './read.ts'
import { readGguf } from './read.ts'
import { F32 } from './tensor-types.ts'
import { type TensorToWrite, writeGguf } from './write.ts'

const models = process.env.INCIPIT_MODELS ?? join(import.meta.dirname, '../../../../../shared/models')

/** Path of a real model, or options that skip a test with the reason. */
export function model(name: string): { path: string; skip: string | false } {
  const path = join(models, name)
  return { path, skip: existsSync(path) ? false : `${name} is not in ${models} (set INCIPIT_MODELS)` }
}

/** A directory that is removed after the test. */
export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'incipit-gguf-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Bytes of a tensor. */
export async function tensorData(gguf: Gguf, tensor: GgufTensor): Promise<Buffer> {
  const handle = await open(gguf.path, 'r')
  try {
    const bytes = Buffer.alloc(tensor.bytes)
    await handle.read(bytes, 0, bytes.length, tensor.offset)
    return bytes
  } finally {
    await handle.close()
  }
}

/** Name and data of every tensor, as hex: small models only. */
export async function allData(gguf: Gguf): Promise<Map<string, string>> {
  const data = new Map<string, string>()
  for (const tensor of gguf.tensors) data.set(tensor.name, (await tensorData(gguf, tensor)).toString('hex'))
  return data
}

/** An F32 tensor of two elements that tell it from all others. */
export function small(name: string, mark: number): TensorToWrite {
  return { name, shape: [2], type: F32, data: new Uint8Array(Float32Array.of(mark, mark + 0.5).buffer) }
}

interface TinyModel {
  architecture?: string
  layers?: number
  metadata?: Record<string, GgufValue>
  /** Tensors of each layer, after `blk.N.`. */
  perLayer?: readonly string[]
  /** Other tensors. */
  global?: readonly string[]
}

const llamaLayer = ['attn_norm.weight', 'attn_q.weight', 'attn_output.weight', 'ffn_down.weight']

/** Writes and reads a model with the structure of a real one and tensors of two elements. */
export async function tinyModel(path: string, options: TinyModel = {}): Promise<Gguf> {
  const { architecture = 'llama', layers = 4, metadata = {}, perLayer = llamaLayer } = options
  const { global = ['token_embd.weight', 'output_norm.weight', 'output.weight'] } = options
  const values = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: architecture }],
    ['general.name', { type: 'string', value: 'tiny' }],
    [`${architecture}.block_count`, { type: 'u32', value: layers }],
    ...Object.entries(metadata),
  ])
  const tensors = global.map((name, i) => small(name, -1 - i))
  for (let layer = 0; layer < layers; layer++) {
    tensors.push(...perLayer.map((name, i) => small(`blk.${layer}.${name}`, 100 * (layer + 1) + i)))
  }
  await writeGguf(path, values, tensors)
  return readGguf(path)
}
