import { existsSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { GgufValue } from './metadata.ts'
import type { Gguf, GgufTensor } from './read.ts'
import { readGguf } from './read.ts'
import { F32 } from './tensor-types.ts'
import { copyOf, type TensorToWrite, writeGguf } from './write.ts'

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

/** Uniform numbers in [-1, 1) that are the same in every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    // Mulberry32, public domain.
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) * 2 ** -31 - 1
  }
}

/**
 * Makes a mixture-of-experts model of a dense one with F32 weights: the experts of a layer are its feed-forward block,
 * each disturbed in its own way, and a random matrix routes. It says about what the dense model says.
 */
export async function mixtureOf(dense: Gguf, path: string, experts: number, used: number): Promise<void> {
  const random = randomNumbers(1)
  const metadata = new Map(dense.metadata)
    .set('llama.expert_count', { type: 'u32', value: experts })
    .set('llama.expert_used_count', { type: 'u32', value: used })
  const tensors: TensorToWrite[] = []
  for (const tensor of dense.tensors) {
    const block = /^(blk\.\d+\.ffn_(?:gate|down|up))\.weight$/.exec(tensor.name)
    if (block === null) {
      tensors.push(copyOf(dense, tensor))
      continue
    }
    const bytes = await tensorData(dense, tensor)
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    const all = Float32Array.from({ length: experts * values.length }, (_, i) => values[i % values.length]! * disturb())
    const data = new Uint8Array(all.buffer)
    tensors.push({ name: `${block[1]}_exps.weight`, shape: [...tensor.shape, experts], type: F32, data })
    if (!block[1]!.endsWith('gate')) continue
    const width = tensor.shape[0]!
    const router = Float32Array.from({ length: width * experts }, random)
    const name = block[1]!.replace('ffn_gate', 'ffn_gate_inp.weight')
    tensors.push({ name, shape: [width, experts], type: F32, data: new Uint8Array(router.buffer) })
  }
  await writeGguf(path, metadata, tensors)

  function disturb(): number {
    return 1 + 0.5 * random()
  }
}

/** Makes a model of the architecture gemma3, every second layer with a sliding window, out of one of llama. */
export async function slidingWindowOf(llama: Gguf, path: string, window: number): Promise<void> {
  const metadata = new Map<string, GgufValue>()
  for (const [key, value] of llama.metadata) metadata.set(key.replace(/^llama\./, 'gemma3.'), value)
  metadata
    .set('general.architecture', { type: 'string', value: 'gemma3' })
    .set('gemma3.attention.sliding_window', { type: 'u32', value: window })
    .set('gemma3.attention.sliding_window_pattern', { type: 'u32', value: 2 })
  const tensors = llama.tensors.map((tensor) => copyOf(llama, tensor))
  const [width, heads] = ['embedding_length', 'attention.head_count'].map((key) =>
    Number(llama.metadata.get(`llama.${key}`)?.value),
  )
  const norms = {
    post_attention_norm: width!,
    post_ffw_norm: width!,
    attn_q_norm: width! / heads!,
    attn_k_norm: width! / heads!,
  }
  for (const { name } of llama.tensors) {
    const layer = /^(blk\.\d+)\.attn_norm\.weight$/.exec(name)?.[1]
    if (layer === undefined) continue
    for (const [norm, size] of Object.entries(norms)) {
      const data = new Uint8Array(new Float32Array(size).fill(1).buffer)
      tensors.push({ name: `${layer}.${norm}.weight`, shape: [size], type: F32, data })
    }
  }
  await writeGguf(path, metadata, tensors)
}
