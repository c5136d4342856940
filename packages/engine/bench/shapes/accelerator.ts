import {
  type Attention,
  attention,
  attentionKeys,
  f32,
  feedForward,
  type LayerTensor,
  norm,
  type Shape,
  u32,
} from './shape.ts'
import { types } from './types.ts'

// Shapes whose figures are known of accelerators, and small ones with the same types, widths of heads and shares of them: on
// a GPU these run the same kernels, and on a CPU they are over in seconds.

/** How llama.cpp's `Q8_0` and `Q4_K_M` quantise a model. */
type Format = 'q8_0' | 'q4_k_m'

interface Transformer {
  readonly format: Format
  readonly layers: number
  readonly embedding: number
  readonly vocabulary: number
  readonly heads: Attention
  readonly inner: number
  readonly untied?: boolean
  readonly exit?: number
}

/** Of a `Q4_K_M` file, layers whose value and down projections have more bits (llama-quant.cpp, `use_more_bits`). */
function hasMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8)
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2
}

/** A layer's matrices in a format. */
function inFormat(tensors: readonly LayerTensor[], format: Format, moreBits: boolean): LayerTensor[] {
  return tensors.map((tensor) => {
    if (typeof tensor.fill === 'number') return tensor
    const type =
      format === 'q8_0' ? types.q8_0 : moreBits && /^(attn_v|ffn_down)/.test(tensor.name) ? types.q6_K : types.q4_K
    return { ...tensor, fill: { type } }
  })
}

function wordTypes({ format, untied }: Transformer): Shape['words'] & object {
  if (format === 'q8_0') return { input: types.q8_0, output: types.q8_0 }
  // Embeddings that are the output, too, have its type.
  return { input: untied ? types.q4_K : types.q6_K, output: types.q6_K }
}

function llama(of: Transformer, ropeBase: number): Shape {
  const { format, layers, embedding, vocabulary, heads, inner, untied = false, exit } = of
  return {
    architecture: 'llama',
    layers,
    embedding,
    vocabulary,
    untied,
    words: wordTypes(of),
    ...(exit !== undefined && { exit }),
    keys: { ...attentionKeys(heads), feed_forward_length: u32(inner), 'rope.freq_base': f32(ropeBase) },
    layer: (index) => [
      norm('attn_norm', embedding),
      norm('ffn_norm', embedding),
      ...inFormat(
        [...attention(embedding, heads), ...feedForward(embedding, inner)],
        format,
        hasMoreBits(index, layers),
      ),
    ],
  }
}

/** Attention everywhere, and of each layer's experts a few for each row. `inner`: of one expert. */
function mixture(of: Transformer, experts: { readonly all: number; readonly used: number }): Shape {
  const { format, layers, embedding, vocabulary, heads, inner } = of
  const expert = (name: string, from: number, to: number): LayerTensor => ({
    name: `${name}.weight`,
    shape: [from, to, experts.all],
    fill: { type: types.q4_K },
  })
  return {
    architecture: 'qwen3moe',
    layers,
    embedding,
    vocabulary,
    untied: true,
    words: wordTypes({ ...of, untied: true }),
    keys: {
      ...attentionKeys(heads),
      feed_forward_length: u32(3 * embedding),
      expert_feed_forward_length: u32(inner),
      expert_count: u32(experts.all),
      expert_used_count: u32(experts.used),
      'rope.freq_base': f32(1e6),
    },
    layer: (index) => [
      norm('attn_norm', embedding),
      norm('ffn_norm', embedding),
      norm('attn_q_norm', heads.width),
      norm('attn_k_norm', heads.width),
      { name: 'ffn_gate_inp.weight', shape: [embedding, experts.all], fill: { type: types.q8_0 } },
      ...inFormat(
        [
          ...attention(embedding, heads),
          expert('ffn_gate_exps', embedding, inner),
          expert('ffn_up_exps', embedding, inner),
          expert('ffn_down_exps', inner, embedding),
        ],
        format,
        hasMoreBits(index, layers),
      ),
    ],
  }
}

const llama8b = {
  layers: 32,
  embedding: 4096,
  vocabulary: 128_256,
  heads: { heads: 32, kvHeads: 8, width: 128 },
  inner: 14_336,
  untied: true,
  exit: 8,
} as const
const smallLlama = {
  layers: 4,
  embedding: 512,
  vocabulary: 8192,
  heads: { heads: 4, kvHeads: 1, width: 128 },
  inner: 768,
  untied: true,
  exit: 1,
} as const

export const acceleratorShapes = {
  'llama-3.1-8b-q8_0': llama({ ...llama8b, format: 'q8_0' }, 500_000),
  'llama-3.1-8b-q4_k_m': llama({ ...llama8b, format: 'q4_k_m' }, 500_000),
  'qwen3-30b-a3b-q4_k_m': mixture(
    {
      format: 'q4_k_m',
      layers: 48,
      embedding: 2048,
      vocabulary: 151_936,
      heads: { heads: 32, kvHeads: 4, width: 128 },
      inner: 768,
    },
    { all: 128, used: 8 },
  ),
  'smollm2-135m-q8_0': llama(
    {
      format: 'q8_0',
      layers: 30,
      embedding: 576,
      vocabulary: 49_152,
      heads: { heads: 9, kvHeads: 3, width: 64 },
      inner: 1536,
    },
    100_000,
  ),
  'small-llama-q8_0': llama({ ...smallLlama, format: 'q8_0' }, 500_000),
  'small-llama-q4_k_m': llama({ ...smallLlama, format: 'q4_k_m' }, 500_000),
  'small-mixture-q4_k_m': mixture(
    {
      format: 'q4_k_m',
      layers: 4,
      embedding: 512,
      vocabulary: 8192,
      heads: { heads: 8, kvHeads: 1, width: 128 },
      inner: 256,
    },
    { all: 16, used: 8 },
  ),
  'small-smollm-q8_0': llama(
    {
      format: 'q8_0',
      layers: 4,
      embedding: 192,
      vocabulary: 8192,
      heads: { heads: 3, kvHeads: 1, width: 64 },
      inner: 512,
    },
    100_000,
  ),
} as const satisfies Record<string, Shape>
