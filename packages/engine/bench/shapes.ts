import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  F32,
  GgufStrings,
  type GgufValue,
  type Metadata,
  readGguf,
  type TensorToWrite,
  tensorBytes,
  tensorTypes,
  writeGguf,
} from '../src/gguf/index.ts'
import { random } from './numbers.ts'

// Models in the shapes of real ones, with random weights: what time and memory they take is real, what they say is words in
// no order. Tokenizer and chat template come from a real file; its vocabulary is padded to the size of the real one.

const q4_0 = 2
const q8_0 = 8
const mxfp4 = 39
const control = 3
const unused = 5

/** A tensor of a layer: its name behind `blk.N.`, its shape, and what is in it. */
interface LayerTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** A number fills it, as F32; otherwise noise of this ggml type. */
  readonly fill: number | { readonly type: number }
}

interface Shape {
  readonly architecture: string
  readonly layers: number
  readonly embedding: number
  readonly vocabulary: number
  /** Metadata beside those of every model, without the architecture before the key. */
  readonly keys: Readonly<Record<string, GgufValue>>
  /** The output matrix is not the embedding. */
  readonly untied?: boolean
  /** Name of the last norm. */
  readonly outputNorm?: string
  readonly layer: (index: number) => readonly LayerTensor[]
}

const u32 = (value: number): GgufValue => ({ type: 'u32', value })
const f32 = (value: number): GgufValue => ({ type: 'f32', value })
const i32s = (...value: number[]): GgufValue => ({ type: 'array', of: 'i32', value: Int32Array.from(value) })
const matrix = (name: string, ...shape: number[]): LayerTensor => ({ name, shape, fill: { type: q4_0 } })
const filled = (name: string, value: number, ...shape: number[]): LayerTensor => ({ name, shape, fill: value })
const norm = (name: string, width: number) => filled(`${name}.weight`, 1, width)

interface Attention {
  readonly heads: number
  readonly kvHeads: number
  readonly width: number
}

function attention(embedding: number, { heads, kvHeads, width }: Attention, queries = 1): LayerTensor[] {
  return [
    matrix('attn_q.weight', embedding, queries * heads * width),
    matrix('attn_k.weight', embedding, kvHeads * width),
    matrix('attn_v.weight', embedding, kvHeads * width),
    matrix('attn_output.weight', heads * width, embedding),
  ]
}

function feedForward(embedding: number, inner: number): LayerTensor[] {
  return [
    matrix('ffn_gate.weight', embedding, inner),
    matrix('ffn_up.weight', embedding, inner),
    matrix('ffn_down.weight', inner, embedding),
  ]
}

function attentionKeys({ heads, kvHeads, width }: Attention): Record<string, GgufValue> {
  return {
    'attention.head_count': u32(heads),
    'attention.head_count_kv': u32(kvHeads),
    'attention.key_length': u32(width),
    'attention.value_length': u32(width),
    'attention.layer_norm_rms_epsilon': f32(1e-6),
  }
}

/** Three layers of gated delta net, then one of attention, whose queries come with gates. */
function qwen35(embedding: number, inner: number): Shape {
  const heads = { heads: 8, kvHeads: 2, width: 256 }
  const [deltaHeads, state] = [16, 128]
  const values = deltaHeads * state
  const delta = [
    matrix('attn_qkv.weight', embedding, 3 * values),
    matrix('attn_gate.weight', embedding, values),
    filled('ssm_conv1d.weight', 0.25, 4, 3 * values),
    filled('ssm_dt.bias', 0, deltaHeads),
    filled('ssm_a', -1, deltaHeads),
    matrix('ssm_beta.weight', embedding, deltaHeads),
    matrix('ssm_alpha.weight', embedding, deltaHeads),
    norm('ssm_norm', state),
    matrix('ssm_out.weight', values, embedding),
  ]
  const full = [...attention(embedding, heads, 2), norm('attn_q_norm', heads.width), norm('attn_k_norm', heads.width)]
  return {
    architecture: 'qwen35',
    layers: 24,
    embedding,
    vocabulary: 248_320,
    keys: {
      ...attentionKeys(heads),
      feed_forward_length: u32(inner),
      full_attention_interval: u32(4),
      'rope.dimension_count': u32(64),
      'rope.dimension_sections': i32s(11, 11, 10, 0),
      'rope.freq_base': f32(1e7),
      'ssm.conv_kernel': u32(4),
      'ssm.inner_size': u32(values),
      'ssm.state_size': u32(state),
      'ssm.time_step_rank': u32(deltaHeads),
      'ssm.group_count': u32(deltaHeads),
    },
    layer: (index) => [
      norm('attn_norm', embedding),
      norm('post_attention_norm', embedding),
      ...((index + 1) % 4 === 0 ? full : delta),
      ...feedForward(embedding, inner),
    ],
  }
}

/** Short convolutions, and six layers of attention. */
function lfm2(): Shape {
  const embedding = 2048
  const layers = 16
  const heads = { heads: 32, kvHeads: 8, width: 64 }
  const attends = (index: number) => [2, 5, 8, 10, 12, 14].includes(index)
  const kvHeads = Uint32Array.from({ length: layers }, (_, index) => (attends(index) ? heads.kvHeads : 0))
  return {
    architecture: 'lfm2',
    layers,
    embedding,
    vocabulary: 65_536,
    outputNorm: 'token_embd_norm',
    keys: {
      ...attentionKeys(heads),
      'attention.head_count_kv': { type: 'array', of: 'u32', value: kvHeads },
      feed_forward_length: u32(8192),
      'rope.freq_base': f32(1e6),
      'shortconv.l_cache': u32(3),
    },
    layer: (index) => [
      norm('attn_norm', embedding),
      norm('ffn_norm', embedding),
      ...(attends(index)
        ? [...attention(embedding, heads), norm('attn_q_norm', heads.width), norm('attn_k_norm', heads.width)]
        : [
            filled('shortconv.conv.weight', 0.3, 3, embedding),
            matrix('shortconv.in_proj.weight', embedding, 3 * embedding),
            matrix('shortconv.out_proj.weight', embedding, embedding),
          ]),
      ...feedForward(embedding, 8192),
    ],
  }
}

/** Five layers that look back 512 tokens, then one that sees everything. */
function gemma3(): Shape {
  const embedding = 1152
  const heads = { heads: 4, kvHeads: 1, width: 256 }
  const norms = ['attn_norm', 'post_attention_norm', 'ffn_norm', 'post_ffw_norm']
  return {
    architecture: 'gemma3',
    layers: 26,
    embedding,
    vocabulary: 262_144,
    keys: {
      ...attentionKeys(heads),
      feed_forward_length: u32(6912),
      'attention.sliding_window': u32(512),
      'rope.freq_base': f32(1e6),
    },
    layer: () => [
      ...norms.map((name) => norm(name, embedding)),
      ...attention(embedding, heads),
      norm('attn_q_norm', heads.width),
      norm('attn_k_norm', heads.width),
      ...feedForward(embedding, 6912),
    ],
  }
}

/** A layer that looks back 128 tokens and one that sees everything, in turns; four of 32 experts. */
function gptOss(layers: number): Shape {
  const embedding = 2880
  const [experts, inner] = [32, 2880]
  const heads = { heads: 64, kvHeads: 8, width: 64 }
  const expert = (name: string): LayerTensor[] => [
    { name: `${name}.weight`, shape: [embedding, inner, experts], fill: { type: mxfp4 } },
    filled(`${name}.bias`, 0, inner, experts),
  ]
  return {
    architecture: 'gpt-oss',
    layers,
    embedding,
    vocabulary: 201_088,
    untied: true,
    keys: {
      ...attentionKeys(heads),
      feed_forward_length: u32(inner),
      expert_feed_forward_length: u32(inner),
      expert_count: u32(experts),
      expert_used_count: u32(4),
      'attention.sliding_window': u32(128),
      'rope.dimension_count': u32(64),
      'rope.freq_base': f32(150_000),
    },
    layer: () => [
      norm('attn_norm', embedding),
      norm('post_attention_norm', embedding),
      ...attention(embedding, heads),
      filled('attn_q.bias', 0, heads.heads * heads.width),
      filled('attn_k.bias', 0, heads.kvHeads * heads.width),
      filled('attn_v.bias', 0, heads.kvHeads * heads.width),
      filled('attn_output.bias', 0, embedding),
      filled('attn_sinks.weight', 0, heads.heads),
      { name: 'ffn_gate_inp.weight', shape: [embedding, experts], fill: { type: q8_0 } },
      filled('ffn_gate_inp.bias', 0, experts),
      ...expert('ffn_gate_exps'),
      ...expert('ffn_up_exps'),
      ...expert('ffn_down_exps'),
    ],
  }
}

/** Attention everywhere: what the others are compared with. */
function qwen3(): Shape {
  const embedding = 1024
  const heads = { heads: 16, kvHeads: 8, width: 128 }
  return {
    architecture: 'qwen3',
    layers: 28,
    embedding,
    vocabulary: 151_936,
    keys: { ...attentionKeys(heads), feed_forward_length: u32(3072), 'rope.freq_base': f32(1e6) },
    layer: () => [
      norm('attn_norm', embedding),
      norm('ffn_norm', embedding),
      ...attention(embedding, heads),
      norm('attn_q_norm', heads.width),
      norm('attn_k_norm', heads.width),
      ...feedForward(embedding, 3072),
    ],
  }
}

export const shapes = {
  'qwen3-0.6b': qwen3(),
  'qwen3.5-0.8b': qwen35(1024, 3584),
  'qwen3.5-2b': qwen35(2048, 6144),
  'lfm2-1.2b': lfm2(),
  'gemma-3-1b': gemma3(),
  'gpt-oss-4-layers': gptOss(4),
} as const satisfies Record<string, Shape>

export type ShapeName = keyof typeof shapes

export const shapeNames = Object.keys(shapes) as ShapeName[]

/**
 * Writes a model of this shape, unless it is there already.
 * @param vocabularyOf a real model, whose tokenizer and chat template it gets
 * @returns its path
 */
export async function writeShape(name: ShapeName, folder: string, vocabularyOf: string): Promise<string> {
  const path = join(folder, `${name}.gguf`)
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  const shape: Shape = shapes[name]
  const { metadata: real } = await readGguf(vocabularyOf)
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: shape.architecture }],
    ['general.name', { type: 'string', value: `${name}, random weights` }],
    ...Object.entries({
      block_count: u32(shape.layers),
      context_length: u32(32_768),
      embedding_length: u32(shape.embedding),
      vocab_size: u32(shape.vocabulary),
      ...shape.keys,
    }).map(([key, value]) => [`${shape.architecture}.${key}`, value] as const),
    ...[...real].filter(([key]) => key.startsWith('tokenizer.')),
    ...paddedVocabulary(real, shape.vocabulary),
  ])
  const { embedding, vocabulary, untied, outputNorm = 'output_norm' } = shape
  const noise = new Noise()
  const words = noise.rows([embedding, vocabulary], wordsOf(real))
  const tensors: TensorToWrite[] = [
    { ...words, name: 'token_embd.weight' },
    ...(untied ? [{ ...words, name: 'output.weight' }] : []),
    noise.tensor(`${outputNorm}.weight`, norm(outputNorm, embedding)),
  ]
  for (let index = 0; index < shape.layers; index++) {
    for (const tensor of shape.layer(index)) tensors.push(noise.tensor(`blk.${index}.${tensor.name}`, tensor))
  }
  // What is there under its name is whole.
  const unfinished = `${path}.${process.pid}`
  await writeGguf(unfinished, metadata, tensors)
  await rename(unfinished, path)
  return path
}

function tokensOf(real: Metadata): GgufStrings {
  const value = real.get('tokenizer.ggml.tokens')?.value
  if (!(value instanceof GgufStrings)) throw new Error('a model without a vocabulary')
  return value
}

function paddedVocabulary(real: Metadata, size: number): [string, GgufValue][] {
  const tokens = [...tokensOf(real)]
  const types = real.get('tokenizer.ggml.token_type')?.value as Int32Array
  const all = new Int32Array(size).fill(unused)
  all.set(types)
  for (let token = tokens.length; token < size; token++) tokens.push(`[unused${token}]`)
  return [
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: GgufStrings.from(tokens) }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', value: all }],
  ]
}

/** Tokens that are a space and a word: what the model says of them becomes the same tokens again when it is read. */
function wordsOf(real: Metadata): number[] {
  const types = real.get('tokenizer.ggml.token_type')?.value as Int32Array
  return [...tokensOf(real)].flatMap((text, token) =>
    /^Ġ[a-z]+$/.test(text) && types[token] !== control ? [token] : [],
  )
}

/** Quantised noise that keeps the size of what is multiplied by it. Tensors of one type and shape are the same. */
class Noise {
  readonly #made = new Map<string, Uint8Array>()
  readonly #next = random(1)

  tensor(name: string, { shape, fill }: LayerTensor): TensorToWrite {
    const type = typeof fill === 'number' ? F32 : fill.type
    const key = `${JSON.stringify(fill)} ${shape}`
    const data = this.#made.get(key) ?? (typeof fill === 'number' ? constant(shape, fill) : this.#blocks(type, shape))
    this.#made.set(key, data)
    return { name, shape, type, data }
  }

  /** A matrix of which only these rows are not zero. */
  rows(shape: readonly [number, number], wanted: readonly number[]): Omit<TensorToWrite, 'name'> {
    const [width, count] = shape
    const row = tensorBytes(q8_0, [width]) as number
    const data = new Uint8Array(row * count)
    const noise = this.#blocks(q8_0, [width, wanted.length])
    for (const [i, token] of wanted.entries()) data.set(noise.subarray(i * row, (i + 1) * row), token * row)
    return { shape, type: q8_0, data }
  }

  #blocks(type: number, shape: readonly number[]): Uint8Array {
    const data = new Uint8Array(tensorBytes(type, shape) as number)
    const words = new Uint32Array(data.buffer, 0, data.length >> 2)
    // xorshift (Marsaglia 2003): a generator that is called for every four bytes.
    let state = 1 + Math.floor(this.#next() * 0xffff_fffe)
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      words[i] = state
    }
    const { bytes } = tensorTypes.get(type)!
    const wanted = 1 / Math.sqrt(shape[0]!)
    const view = new DataView(data.buffer)
    for (let block = 0; block < data.length; block += bytes) {
      // E8M0, whose step is a power of two; values up to 6, of half of what they are.
      if (type === mxfp4) data[block] = 127 + Math.round(Math.log2(wanted / 3))
      else view.setFloat16(block, wanted / (type === q4_0 ? 4.6 : 74), true)
    }
    return data
  }
}

function constant(shape: readonly number[], value: number): Uint8Array {
  const elements = shape.reduce((product, length) => product * length, 1)
  return new Uint8Array(new Float32Array(elements).fill(value).buffer)
}
