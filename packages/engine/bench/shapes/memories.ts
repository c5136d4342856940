import {
  attention,
  attentionKeys,
  f32,
  feedForward,
  filled,
  i32s,
  type LayerTensor,
  matrix,
  norm,
  type Shape,
  u32,
} from './shape.ts'
import { types } from './types.ts'

// Memories of other kinds than attention everywhere, and one of that kind that they are compared with.

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
    { name: `${name}.weight`, shape: [embedding, inner, experts], fill: { type: types.mxfp4 } },
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
      { name: 'ffn_gate_inp.weight', shape: [embedding, experts], fill: { type: types.q8_0 } },
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

export const memoryShapes = {
  'qwen3-0.6b': qwen3(),
  'qwen3.5-0.8b': qwen35(1024, 3584),
  'qwen3.5-2b': qwen35(2048, 6144),
  'lfm2-1.2b': lfm2(),
  'gemma-3-1b': gemma3(),
  'gpt-oss-4-layers': gptOss(4),
} as const satisfies Record<string, Shape>
