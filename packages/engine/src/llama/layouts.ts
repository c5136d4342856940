import koffi from 'koffi'

/** The llama.cpp library whose struct layouts stand below; `library.ts` refuses every other version. */
export const libraryVersion = '0.5.0-dev'
export const libraryRelease = 'v0.5.0'
/** Of the packages that bring it. */
export const packageVersion = '3.22.1'

// Field order and types are those of llama.h and ggml.h of exactly that release. Fields we never set are named all the
// same: a struct passed by value must have its full size.

export const ModelParams = koffi.struct('llama_model_params', {
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int32_t',
  load_mode: 'int32_t',
  lazy_mode: 'int32_t',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
})

export interface ModelParams {
  n_gpu_layers: number
  load_mode: number
  /** Null for none. */
  progress_callback: bigint | null
  progress_callback_user_data: bigint
  /** Of `KvOverride`s, the last one with an empty key; null for none. */
  kv_overrides: bigint | null
  load_mtp: boolean
  vocab_only: boolean
  check_tensors: boolean
}

/** A metadata value to use instead of the file's. Its union is written out for whole numbers, the only kind we set. */
export const KvOverride = koffi.struct('llama_model_kv_override', {
  tag: 'int32_t',
  key: koffi.array('char', 128),
  val_i64: 'int64_t',
  rest: koffi.array('uint8_t', 120),
})

export const ContextParams = koffi.struct('llama_context_params', {
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int32_t',
  rope_scaling_type: 'int32_t',
  pooling_type: 'int32_t',
  attention_type: 'int32_t',
  flash_attn_type: 'int32_t',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int32_t',
  type_v: 'int32_t',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
})

export interface ContextParams {
  n_ctx: number
  ctx_type: number
  n_batch: number
  n_ubatch: number
  n_seq_max: number
  n_outputs_max: number
  n_outputs_max_per_seq: number
  n_threads: number
  n_threads_batch: number
  pooling_type: number
  embeddings: boolean
  no_perf: boolean
  swa_full: boolean
  kv_unified: boolean
}

// Used by its name only.
koffi.struct('llama_model_quantize_params', {
  nthread: 'int32_t',
  ftype: 'int32_t',
  output_tensor_type: 'int32_t',
  token_embedding_type: 'int32_t',
  allow_requantize: 'bool',
  quantize_output_tensor: 'bool',
  only_copy: 'bool',
  pure: 'bool',
  keep_split: 'bool',
  dry_run: 'bool',
  imatrix: 'void *',
  kv_overrides: 'void *',
  tt_overrides: 'void *',
  prune_layers: 'void *',
  max_buf_size: 'size_t',
})

export interface QuantizeParams {
  nthread: number
  /** Of the `LLAMA_FTYPE_*` of llama.h. */
  ftype: number
  allow_requantize: boolean
}

export const BatchStruct = koffi.struct('llama_batch', {
  n_tokens: 'int32_t',
  token: 'void *',
  embd: 'void *',
  pos: 'void *',
  n_seq_id: 'void *',
  seq_id: 'void *',
  logits: 'void *',
})

/** A `llama_batch` whose members point into memory that our `Batch` owns. */
export interface BatchStruct {
  n_tokens: number
  token: bigint
  embd: bigint
  pos: bigint
  n_seq_id: bigint
  seq_id: bigint
  logits: bigint
}

// Used by its name only.
koffi.struct('ggml_threadpool_params', {
  cpumask: koffi.array('bool', 512, 'Array'),
  n_threads: 'int',
  prio: 'int',
  poll: 'uint32_t',
  strict_cpu: 'bool',
  paused: 'bool',
})

export const TypeTraits = koffi.struct('ggml_type_traits', {
  type_name: 'const char *',
  blck_size: 'int64_t',
  blck_size_interleave: 'int64_t',
  type_size: 'size_t',
  is_quantized: 'bool',
  to_float: 'void *',
  from_float_ref: 'void *',
})
