import type { GgufValue } from '../../src/gguf/index.ts'
import { types } from './types.ts'

/** A tensor of a layer: its name behind `blk.N.`, its shape, and what is in it. */
export interface LayerTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** A number fills it, as F32; otherwise noise of this ggml type. */
  readonly fill: number | { readonly type: number }
}

export interface Shape {
  readonly architecture: string
  readonly layers: number
  readonly embedding: number
  readonly vocabulary: number
  /** Metadata beside those of every model, without the architecture before the key. */
  readonly keys: Readonly<Record<string, GgufValue>>
  /** The output matrix is not the embedding. */
  readonly untied?: boolean
  /** ggml types of the embeddings and of an output matrix of its own. Default: Q8_0. */
  readonly words?: { readonly input?: number; readonly output?: number }
  /** Layers before an exit that speaks through the model's own head. */
  readonly exit?: number
  /** Name of the last norm. */
  readonly outputNorm?: string
  readonly layer: (index: number) => readonly LayerTensor[]
}

export const u32 = (value: number): GgufValue => ({ type: 'u32', value })
export const f32 = (value: number): GgufValue => ({ type: 'f32', value })
export const i32s = (...value: number[]): GgufValue => ({ type: 'array', of: 'i32', value: Int32Array.from(value) })
export const matrix = (name: string, ...shape: number[]): LayerTensor => ({ name, shape, fill: { type: types.q4_0 } })
export const filled = (name: string, value: number, ...shape: number[]): LayerTensor => ({ name, shape, fill: value })
export const norm = (name: string, width: number) => filled(`${name}.weight`, 1, width)

export interface Attention {
  readonly heads: number
  readonly kvHeads: number
  readonly width: number
}

export function attention(embedding: number, { heads, kvHeads, width }: Attention, queries = 1): LayerTensor[] {
  return [
    matrix('attn_q.weight', embedding, queries * heads * width),
    matrix('attn_k.weight', embedding, kvHeads * width),
    matrix('attn_v.weight', embedding, kvHeads * width),
    matrix('attn_output.weight', heads * width, embedding),
  ]
}

export function feedForward(embedding: number, inner: number): LayerTensor[] {
  return [
    matrix('ffn_gate.weight', embedding, inner),
    matrix('ffn_up.weight', embedding, inner),
    matrix('ffn_down.weight', inner, embedding),
  ]
}

export function attentionKeys({ heads, kvHeads, width }: Attention): Record<string, GgufValue> {
  return {
    'attention.head_count': u32(heads),
    'attention.head_count_kv': u32(kvHeads),
    'attention.key_length': u32(width),
    'attention.value_length': u32(width),
    'attention.layer_norm_rms_epsilon': f32(1e-6),
  }
}
