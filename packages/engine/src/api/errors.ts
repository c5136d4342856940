/**
 * Every failure incipit reports is an `IncipitError` with a stable code. The codes, what they mean and the HTTP status
 * a server answers with are listed in `docs/errors.md`; a test keeps that page and this table equal.
 */
export const errorCodes = {
  /** The library of llama.cpp is missing, or its version is not the one the struct layouts belong to. */
  native_library: 500,
  /** The model file does not exist or is not a regular file. */
  model_not_found: 404,
  /** The file is not a GGUF, or its header or tensor data is cut short. */
  model_invalid: 422,
  /** The GGUF is sound, but the library does not know its architecture or refuses it. */
  model_unsupported: 422,
  /** A download was tried and failed. */
  model_download: 502,
  /** The model and its context (KV cache and compute buffers) do not fit into memory. */
  context_memory: 507,
  /** More rows than the context's batch size, or malformed rows. */
  batch_invalid: 500,
  /** The native decode failed; nothing of the batch counts as computed. */
  decode_failed: 500,
  /** A handle was used after it was disposed. */
  disposed: 500,
  /** The prompt leaves no room for a reply in the context. */
  context_overflow: 400,
  /** A request is malformed: the message names the parameter. */
  invalid_request: 400,
  /** A reply's constraint cannot be followed any further: it is too ambiguous or too large, or a compiler of the caller's own threw. */
  constraint_failed: 422,
  /** The model carries no chat template, or the template rejected these messages. */
  chat_template: 400,
  /** Staged and uncut logits differ, or the architecture does not report its layer inputs. */
  cut_refused: 422,
  /** The draft model has another vocabulary than the model, or a memory that cannot be rolled back. */
  draft_mismatch: 422,
  /** A file is no LoRA adapter, or one of another model. */
  adapter_mismatch: 422,
  /** A saved prefix is damaged, belongs to another model, or cannot be written. */
  prefix_invalid: 422,
  /** Fitting an exit or a calibration failed: too little data, or files of another model. */
  tune_failed: 422,
  /** The request was cancelled by its caller. */
  cancelled: 499,
  /** The engine was closed while work was queued. */
  closed: 503,
  /** A defect ended the engine: nothing goes on over a state that may be half changed. */
  engine_failed: 500,
  /** The engine's process died again and again; what was in flight ends, and another try follows later. */
  engine_died: 503,
  /** The server that an editor's completions come from cannot be reached, or refuses them. */
  backend_failed: 502,
  /** As many requests wait already as may wait. */
  overloaded: 503,
} as const

export type ErrorCode = keyof typeof errorCodes

/** The base of all errors that incipit throws on purpose. */
export class IncipitError extends Error {
  readonly code: ErrorCode
  /** Name of the offending request parameter, where there is one. */
  readonly param?: string

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; param?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'IncipitError'
    this.code = code
    if (options.param !== undefined) this.param = options.param
  }

  /** HTTP status that belongs to the code. */
  get status(): number {
    return errorCodes[this.code]
  }
}
