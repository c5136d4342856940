/** What llama.cpp v0.5.0 does layer by layer, as far as it decides where a model may be cut and how. */

/**
 * Architectures whose graph reports the state that enters each layer. Asking any other one for it aborts the process
 * (an assertion in llama-graph.cpp), so this is a list of what was read in the sources and no guess. Left out on
 * purpose: deepseek4 (reports a mean of several streams, not the state), minimax-01 (its decay depends on the layer's
 * place in the whole model).
 */
export const cuttableArchitectures: ReadonlySet<string> = new Set([
  'llama',
  'qwen3',
  'qwen3moe',
  'qwen3next',
  'qwen35',
  'qwen35moe',
  'gpt-oss',
  'gemma4',
  'lfm2',
  'lfm2moe',
  'minimax-m2',
  'bailingmoe3',
  'hunyuan_vl',
  'hunyuan-dense',
  'nemotron_h',
  'nemotron_h_moe',
])

/** Architectures that do not fall back to the token embedding: each of their stages keeps `output.weight`. */
export const outputRequired: ReadonlySet<string> = new Set(['gpt-oss', 'minimax-m2'])

/** Keys (after the architecture) that make a layer's kind depend on its number modulo n, with the library's default. */
export const layerPeriods: readonly { key: string; defaults: Readonly<Record<string, number>>; unless: string }[] = [
  { key: 'attention.sliding_window_pattern', defaults: { 'gpt-oss': 2 }, unless: 'attention.sliding_window_pattern' },
  {
    key: 'full_attention_interval',
    defaults: { qwen3next: 4, qwen35: 4, qwen35moe: 4 },
    // This array says it layer by layer, and is sliced.
    unless: 'attention.recurrent_layers',
  },
]

/** Keys with a number above zero that say: layers use something of other layers. */
export const crossLayerKeys: readonly { key: string; why: string }[] = [
  { key: 'nextn_predict_layers', why: 'it carries next-token prediction layers' },
  { key: 'attention.shared_kv_layers', why: 'its last layers use the KV cache of earlier ones' },
  { key: 'embedding_length_per_layer_input', why: 'it has an embedding per layer' },
  { key: 'n_deepstack_layers', why: 'its first layers take image features' },
]

/** Arrays whose length may equal the layer count by chance. */
export const notPerLayer: ReadonlySet<string> = new Set(['rope.dimension_sections', 'classifier.output_labels'])

/**
 * Tensors (after `blk.N.`) that produce what a layer adds to the state. With all of them zero the layer is the identity:
 * bytes of zero mean zero in every ggml type.
 */
export const layerOutputs =
  /^(attn_output|ssm_out|shortconv\.out_proj|ffn_down|ffn_down_exps|ffn_down_shexp|ffn_down\.\d+)\.(weight|bias)$/

/** A factor on the whole state after a layer, one in the identity. */
export const layerScale = 'layer_output_scale.weight'

/** Names of the final norm's weight: lfm2 models store it under the second one. */
export function isOutputNorm(architecture: string, name: string): boolean {
  return name === 'output_norm.weight' || (architecture.startsWith('lfm2') && name === 'token_embd_norm.weight')
}
