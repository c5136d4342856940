import koffi, { type LibraryHandle } from 'koffi'
import type { Log } from '../api/engine-options.ts'
import { IncipitError } from '../api/errors.ts'
import { BackEnds } from './back-ends.ts'
import { extensionNames } from './extension-names.ts'
import { findLibrary, type LibraryPlace, libraryFile } from './find-library.ts'
import {
  type BatchStruct,
  type ContextParams,
  libraryRelease,
  libraryVersion,
  type ModelParams,
  type QuantizeParams,
} from './layouts.ts'
import type { NativeFunction, Pointer } from './native.ts'
import { type SystemLibrary, systemLibrary } from './system-library.ts'

export type { Pointer } from './native.ts'

/** Every native function we call, once, with its types. */
export interface Library extends Omit<SystemLibrary, 'nothing'> {
  place: LibraryPlace
  backEnds: BackEnds
  systemInfo: NativeFunction<[], string>
  modelDefaultParams: NativeFunction<[], ModelParams>
  contextDefaultParams: NativeFunction<[], ContextParams>
  modelLoad: NativeFunction<[path: string, params: ModelParams], Pointer>
  modelFree: NativeFunction<[model: Pointer], void>
  quantizeDefaultParams: NativeFunction<[], QuantizeParams>
  /** 0 when it was done. */
  quantizeModel: NativeFunction<[from: string, to: string, params: QuantizeParams], number>
  modelParameters: NativeFunction<[model: Pointer], number | bigint>
  modelFileType: NativeFunction<[model: Pointer], number>
  fileTypeName: NativeFunction<[type: number], string>
  modelEmbedding: NativeFunction<[model: Pointer], number>
  /** Width of a pooled state, which some models map to another one. */
  modelOutputWidth: NativeFunction<[model: Pointer], number>
  modelLayers: NativeFunction<[model: Pointer], number>
  modelTrainingContext: NativeFunction<[model: Pointer], number>
  modelWindow: NativeFunction<[model: Pointer], number>
  modelHasEncoder: NativeFunction<[model: Pointer], boolean>
  modelIsRecurrent: NativeFunction<[model: Pointer], boolean>
  modelIsHybrid: NativeFunction<[model: Pointer], boolean>
  modelIsDiffusion: NativeFunction<[model: Pointer], boolean>
  modelVocab: NativeFunction<[model: Pointer], Pointer>
  modelChatTemplate: NativeFunction<[model: Pointer, name: null], string | null>
  /** 0n where the adapter is none, or does not fit. */
  adapterLoad: NativeFunction<[model: Pointer, path: string], Pointer>
  adapterFree: NativeFunction<[adapter: Pointer], void>
  setAdapters: NativeFunction<[context: Pointer, adapters: BigUint64Array, count: number, scales: Float32Array], number>
  contextInit: NativeFunction<[model: Pointer, params: ContextParams], Pointer>
  contextFree: NativeFunction<[context: Pointer], void>
  contextCells: NativeFunction<[context: Pointer], number>
  contextSnapshots: NativeFunction<[context: Pointer], number>
  contextMemory: NativeFunction<[context: Pointer], Pointer>
  decode: NativeFunction<[context: Pointer, batch: BatchStruct], number>
  /** Waits until nothing is computed any more. */
  synchronize: NativeFunction<[context: Pointer], void>
  setAbortCallback: NativeFunction<[context: Pointer, callback: Pointer, data: Pointer], void>
  setThreads: NativeFunction<[context: Pointer, threads: number, batchThreads: number], void>
  setEmbeddings: NativeFunction<[context: Pointer, value: boolean], void>
  setLayerInput: NativeFunction<[context: Pointer, layer: number, value: boolean], void>
  layerInput: NativeFunction<[context: Pointer, layer: number], Pointer>
  setMtpStates: NativeFunction<[context: Pointer, value: boolean, outputsOnly: boolean], void>
  mtpStates: NativeFunction<[context: Pointer], Pointer>
  logits: NativeFunction<[context: Pointer, row: number], Pointer>
  embeddings: NativeFunction<[context: Pointer, row: number], Pointer>
  /** The pooled state of a sequence of the last decode. */
  sequenceEmbedding: NativeFunction<[context: Pointer, sequence: number], Pointer>
  attachThreadpool: NativeFunction<[context: Pointer, pool: Pointer, poolBatch: Pointer], void>
  threadpoolNew: (threads: number) => Pointer
  threadpoolFree: (pool: Pointer) => void
  memoryClear: NativeFunction<[memory: Pointer, data: boolean], void>
  sequenceRemove: NativeFunction<[memory: Pointer, sequence: number, from: number, to: number], boolean>
  sequenceCopy: NativeFunction<[memory: Pointer, from: number, to: number, start: number, end: number], void>
  sequenceStateSize: NativeFunction<[context: Pointer, sequence: number], number>
  sequenceState: NativeFunction<[context: Pointer, target: Uint8Array, size: number, sequence: number], number>
  stateSizeExt: NativeFunction<[context: Pointer, sequence: number, flags: number], number>
  stateExt: NativeFunction<
    [context: Pointer, target: Uint8Array, size: number, sequence: number, flags: number],
    number
  >
  setStateExt: NativeFunction<[context: Pointer, source: Uint8Array, size: number, to: number, flags: number], number>
  setSequenceState: NativeFunction<[context: Pointer, source: Uint8Array, size: number, sequence: number], number>
  sequenceMin: NativeFunction<[memory: Pointer, sequence: number], number>
  sequenceMax: NativeFunction<[memory: Pointer, sequence: number], number>
  sequenceSave: NativeFunction<
    [context: Pointer, path: string, sequence: number, tokens: Pointer, count: number],
    number | bigint
  >
  sequenceLoad: NativeFunction<
    [context: Pointer, path: string, sequence: number, tokens: Pointer, capacity: number, count: Pointer],
    number | bigint
  >
  vocabTokens: NativeFunction<[vocab: Pointer], number>
  vocabIsEndOfGeneration: NativeFunction<[vocab: Pointer, token: number], boolean>
  vocabIsControl: NativeFunction<[vocab: Pointer, token: number], boolean>
  vocabBos: NativeFunction<[vocab: Pointer], number>
  vocabEos: NativeFunction<[vocab: Pointer], number>
  vocabAddBos: NativeFunction<[vocab: Pointer], boolean>
  /** -1 where the model has no such token. */
  vocabFimPrefix: NativeFunction<[vocab: Pointer], number>
  vocabFimSuffix: NativeFunction<[vocab: Pointer], number>
  vocabFimMiddle: NativeFunction<[vocab: Pointer], number>
  vocabFimRepository: NativeFunction<[vocab: Pointer], number>
  vocabFimFile: NativeFunction<[vocab: Pointer], number>
  tokenize: NativeFunction<
    [
      vocab: Pointer,
      text: Uint8Array,
      length: number,
      tokens: Int32Array,
      size: number,
      special: boolean,
      parse: boolean,
    ],
    number
  >
  tokenToPiece: NativeFunction<
    [vocab: Pointer, token: number, buffer: Uint8Array, size: number, strip: number, special: boolean],
    number
  >
  typeTraits: NativeFunction<[type: number], Pointer>
  quantizeChunk: NativeFunction<
    [type: number, source: Float32Array, target: Uint8Array, start: number, rows: number, columns: number, m: null],
    number
  >
}

let loaded: Library | undefined

/** Where log lines of llama.cpp go: one library, so all who want them get all. */
const sinks = new Map<symbol, Log>()
let recent: string[] = []
/** Switches llama.cpp's log between our callback and nothing. */
let setLogging: ((on: boolean) => void) | undefined
// A native thread that logs waits for the event loop, slowly under load and for ever when the process exits. For
// looking into llama.cpp that is worth it.
const logThreads = process.env.INCIPIT_TRACE === '1'
const levels = ['debug', 'debug', 'info', 'warn', 'error', 'debug'] as const

/**
 * Sends llama.cpp's own log to `log`, too, from now on; without any it is silent. Of native threads (loading weights,
 * decoding) only with INCIPIT_TRACE=1.
 * @returns stops it
 */
export function addNativeLog(log: Log): () => void {
  const key = Symbol()
  sinks.set(key, log)
  return () => sinks.delete(key)
}

/**
 * Makes a native call on this thread with llama.cpp's log on. `errors` are the last warnings and errors it printed.
 * What failed on a native thread is tried again this way to learn the reason.
 */
export function withLog<T>(call: () => T): { result: T; errors: string } {
  recent = []
  setLogging?.(true)
  try {
    return { result: call(), errors: recent.join(' ').trim() }
  } finally {
    setLogging?.(logThreads)
  }
}

const stops = new Set<() => void>()

/**
 * Registers what stops a call that runs on a native thread. Node waits for these threads when it exits: an exit would
 * take as long as the call. The returned function forgets it.
 */
export function stopAtExit(stop: () => void): () => void {
  stops.add(stop)
  return () => stops.delete(stop)
}

function onNativeLog(level: number, text: string): void {
  const line = text.trimEnd()
  if (line === '') return
  const name = levels[level] ?? 'debug'
  if (name === 'warn' || name === 'error') {
    recent.push(line)
    if (recent.length > 8) recent.shift()
  }
  for (const log of sinks.values()) log(name, `llama.cpp: ${line}`)
}

function open(path: string): LibraryHandle {
  try {
    return koffi.load(path, { global: true })
  } catch (cause) {
    throw new IncipitError('native_library', `cannot load ${path}: ${(cause as Error).message}`, { cause })
  }
}

/**
 * Loads llama.cpp once per process: libggml-base, libggml, the backends, libllama, in this order.
 * @throws IncipitError `native_library` when it is missing or has another version than our struct layouts.
 */
export function library(): Library {
  if (loaded !== undefined) return loaded
  const place = findLibrary()
  const { directory } = place
  const base = open(libraryFile(directory, 'ggml-base'))
  const ggml = open(libraryFile(directory, 'ggml'))
  const llama = open(libraryFile(directory, 'llama'))

  const version = (llama.func('const char *llama_version()') as () => string)()
  if (version !== libraryVersion) {
    throw new IncipitError(
      'native_library',
      `${directory} holds llama.cpp ${version}, but incipit is built for ${libraryVersion} (release ${libraryRelease})`,
    )
  }

  const LogCallback = koffi.proto('void incipit_log(int level, const char *text, void *user_data)')
  const callback = koffi.register(onNativeLog, koffi.pointer(LogCallback))
  const { nothing, ...system } = systemLibrary()
  const logSet = llama.func('void llama_log_set(void *callback, void *user_data)')
  // NULL would mean stderr.
  setLogging = (on) => logSet(on ? callback : nothing, 0n)
  setLogging(logThreads)
  process.once('exit', () => {
    setLogging?.(false)
    for (const stop of stops) stop()
  })
  const backEnds = new BackEnds(base, ggml, directory, place.gpus)
  llama.func('void llama_backend_init()')()

  const f = <F>(definition: string, from = llama): F => from.func(definition) as unknown as F
  const extension = <F>(name: string, result: string, args: string[]): F =>
    llama.func(name, result, args) as unknown as F

  loaded = {
    place,
    backEnds,
    systemInfo: f('const char *llama_print_system_info()'),
    modelDefaultParams: f('llama_model_params llama_model_default_params()'),
    contextDefaultParams: f('llama_context_params llama_context_default_params()'),
    modelLoad: f('void *llama_model_load_from_file(const char *path, llama_model_params params)'),
    modelFree: f('void llama_model_free(void *model)'),
    quantizeDefaultParams: f('llama_model_quantize_params llama_model_quantize_default_params()'),
    quantizeModel: f(
      'uint32_t llama_model_quantize(const char *from, const char *to, _In_ llama_model_quantize_params *params)',
    ),
    modelParameters: f('uint64_t llama_model_n_params(void *model)'),
    modelFileType: f('int32_t llama_model_ftype(void *model)'),
    fileTypeName: f('const char *llama_ftype_name(int32_t type)'),
    modelEmbedding: f('int32_t llama_model_n_embd(void *model)'),
    modelOutputWidth: f('int32_t llama_model_n_embd_out(void *model)'),
    modelLayers: f('int32_t llama_model_n_layer(void *model)'),
    modelTrainingContext: f('int32_t llama_model_n_ctx_train(void *model)'),
    modelWindow: f('int32_t llama_model_n_swa(void *model)'),
    modelHasEncoder: f('bool llama_model_has_encoder(void *model)'),
    modelIsRecurrent: f('bool llama_model_is_recurrent(void *model)'),
    modelIsHybrid: f('bool llama_model_is_hybrid(void *model)'),
    modelIsDiffusion: f('bool llama_model_is_diffusion(void *model)'),
    modelVocab: f('void *llama_model_get_vocab(void *model)'),
    modelChatTemplate: f('const char *llama_model_chat_template(void *model, const char *name)'),
    adapterLoad: f('void *llama_adapter_lora_init(void *model, const char *path)'),
    adapterFree: f('void llama_adapter_lora_free(void *adapter)'),
    setAdapters: f('int32_t llama_set_adapters_lora(void *context, void *adapters, size_t count, void *scales)'),
    contextInit: f('void *llama_init_from_model(void *model, llama_context_params params)'),
    contextFree: f('void llama_free(void *context)'),
    contextCells: f('uint32_t llama_n_ctx(void *context)'),
    contextSnapshots: f('uint32_t llama_n_rs_seq(void *context)'),
    contextMemory: f('void *llama_get_memory(void *context)'),
    decode: f('int32_t llama_decode(void *context, llama_batch batch)'),
    synchronize: f('void llama_synchronize(void *context)'),
    setAbortCallback: f('void llama_set_abort_callback(void *context, void *callback, void *data)'),
    setThreads: f('void llama_set_n_threads(void *context, int32_t threads, int32_t batch_threads)'),
    setEmbeddings: f('void llama_set_embeddings(void *context, bool value)'),
    setLayerInput: extension(extensionNames.setLayerInput, 'void', ['void *', 'uint32_t', 'bool']),
    layerInput: extension(extensionNames.layerInput, 'void *', ['void *', 'uint32_t']),
    setMtpStates: extension(extensionNames.setMtpStates, 'void', ['void *', 'bool', 'bool']),
    mtpStates: extension(extensionNames.mtpStates, 'void *', ['void *']),
    logits: f('void *llama_get_logits_ith(void *context, int32_t row)'),
    embeddings: f('void *llama_get_embeddings_ith(void *context, int32_t row)'),
    sequenceEmbedding: f('void *llama_get_embeddings_seq(void *context, int32_t sequence)'),
    attachThreadpool: f('void llama_attach_threadpool(void *context, void *pool, void *pool_batch)'),
    ...backEnds.threadpool(),
    memoryClear: f('void llama_memory_clear(void *memory, bool data)'),
    sequenceRemove: f('bool llama_memory_seq_rm(void *memory, int32_t sequence, int32_t from, int32_t to)'),
    sequenceCopy: f('void llama_memory_seq_cp(void *memory, int32_t from, int32_t to, int32_t start, int32_t end)'),
    sequenceStateSize: f('size_t llama_state_seq_get_size(void *context, int32_t sequence)'),
    sequenceState: f('size_t llama_state_seq_get_data(void *context, void *target, size_t size, int32_t sequence)'),
    setSequenceState: f('size_t llama_state_seq_set_data(void *context, const void *source, size_t size, int32_t to)'),
    stateSizeExt: f('size_t llama_state_seq_get_size_ext(void *context, int32_t sequence, uint32_t flags)'),
    stateExt: f(
      'size_t llama_state_seq_get_data_ext(void *context, void *target, size_t size, int32_t seq, uint32_t flags)',
    ),
    setStateExt: f(
      'size_t llama_state_seq_set_data_ext(void *context, const void *source, size_t size, int32_t to, uint32_t flags)',
    ),
    sequenceMin: f('int32_t llama_memory_seq_pos_min(void *memory, int32_t sequence)'),
    sequenceMax: f('int32_t llama_memory_seq_pos_max(void *memory, int32_t sequence)'),
    sequenceSave: f(
      'size_t llama_state_seq_save_file(void *context, const char *path, int32_t seq, void *tokens, size_t count)',
    ),
    sequenceLoad: f(
      'size_t llama_state_seq_load_file(void *c, const char *path, int32_t seq, void *tokens, size_t room, void *count)',
    ),
    vocabTokens: f('int32_t llama_vocab_n_tokens(void *vocab)'),
    vocabIsEndOfGeneration: f('bool llama_vocab_is_eog(void *vocab, int32_t token)'),
    vocabIsControl: f('bool llama_vocab_is_control(void *vocab, int32_t token)'),
    vocabBos: f('int32_t llama_vocab_bos(void *vocab)'),
    vocabEos: f('int32_t llama_vocab_eos(void *vocab)'),
    vocabAddBos: f('bool llama_vocab_get_add_bos(void *vocab)'),
    vocabFimPrefix: f('int32_t llama_vocab_fim_pre(void *vocab)'),
    vocabFimSuffix: f('int32_t llama_vocab_fim_suf(void *vocab)'),
    vocabFimMiddle: f('int32_t llama_vocab_fim_mid(void *vocab)'),
    vocabFimRepository: f('int32_t llama_vocab_fim_rep(void *vocab)'),
    vocabFimFile: f('int32_t llama_vocab_fim_sep(void *vocab)'),
    tokenize: f(
      'int32_t llama_tokenize(void *v, void *text, int32_t n, void *tokens, int32_t max, bool add, bool parse)',
    ),
    tokenToPiece: f(
      'int32_t llama_token_to_piece(void *v, int32_t token, void *b, int32_t n, int32_t strip, bool special)',
    ),
    typeTraits: f('void *ggml_get_type_traits(int type)', base),
    quantizeChunk: f(
      'size_t ggml_quantize_chunk(int type, void *src, void *dst, int64_t start, int64_t rows, int64_t cols, void *m)',
      base,
    ),
    ...system,
  }
  return loaded
}

/**
 * What computes here: the version of llama.cpp, the instructions that its kernels for this CPU use, and GPUs. Results under
 * the same words are bit-equal.
 */
export function kernelsInUse(): string {
  const { systemInfo, backEnds } = library()
  const gpus = backEnds.devices().filter(({ kind }) => kind === 'gpu')
  return [libraryVersion, systemInfo(), ...gpus.map(({ description }) => description)].join(' ')
}
