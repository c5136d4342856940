import { IncipitError } from '../api/errors.ts'
import { architectureOf, type Gguf, type Metadata, metadataNumber, readGguf } from '../gguf/index.ts'
import { cellBytes } from './cell-bytes.ts'
import { Flag } from './flag.ts'
import { Handle } from './handle.ts'
import { type Library, library, type Pointer, withLog } from './library.ts'
import { type Offload, type OffloadOptions, offload } from './offload.ts'
import { Overrides } from './overrides.ts'
import { Vocab } from './vocab.ts'

// llama.h: LLAMA_LOAD_MODE_MMAP. Weights are shared between processes and between a model and its stage files' page cache.
const loadModeMmap = 1
// LLAMA_LOAD_MODE_NONE: the only one that goes with leaving the weights out.
const loadModeNone = 0

// Windows on x64 counts the float before the flag's address among the arguments: the flag's callback would read another one.
// There a load cannot be stopped, and an exit waits for it.
const stoppable = !(process.platform === 'win32' && process.arch === 'x64')

// The graph of these computes all rows and keeps all, of which llama.cpp v0.5.0 takes as many as asked for from the front
// (models/cogvlm.cpp has no `inp_out_ids`): the logits of a prompt's last row would be those of its first.
const outputsWhole: ReadonlySet<string> = new Set(['cogvlm'])

export interface ModelOptions extends OffloadOptions {
  /** Experts that each token uses in a mixture-of-experts model, instead of as many as the file says. */
  experts?: number
  /** Load the layer that predicts the token after the next one, too, where the file carries one. */
  mtp?: boolean
  /** Load it for vectors of texts (`EmbeddingContext`), which other models can make than those that say one token after the other. */
  forEmbeddings?: boolean
  /** Everything but the weights: no context can be made of it. */
  withoutWeights?: boolean
}

/** A model's weights in memory. Contexts made from it keep the weights until they are disposed, too. */
export class Model implements Disposable {
  readonly path: string
  readonly vocab: Vocab
  readonly architecture: string
  readonly description: string
  readonly layers: number
  /** Width of the hidden state, `n_embd`. */
  readonly embedding: number
  /** Width of a text's vector. */
  readonly outputWidth: number
  readonly trainingContext: number
  /** Jinja source of the chat template, or undefined. */
  readonly chatTemplate: string | undefined
  /** Bytes of KV cache per cell at F16, all layers. */
  readonly cellBytes: number
  /** Rows have the logits they should have only where all rows of a batch ask for them. */
  readonly outputsWhole: boolean
  /** Some or all layers keep a state that every token changes, and no rows. */
  readonly recurrent: boolean
  /** Positions that layers with sliding-window attention look back; 0 for a model without such layers. */
  readonly window: number
  /** What of it runs on GPUs; undefined on a machine without one. */
  readonly offload: Offload | undefined
  /** Only for use inside `llama/`. */
  readonly handle: Handle

  private constructor(path: string, pointer: Pointer, gguf: Gguf, onGpu: Offload | undefined) {
    const { metadata } = gguf
    const architecture = architectureOf(gguf)
    const lib = library()
    this.path = path
    this.handle = new Handle(`the model ${path}`, pointer, lib.modelFree)
    this.architecture = architecture
    this.cellBytes = cellBytes(metadata, architecture)
    this.offload = onGpu
    const type = lib.fileTypeName(lib.modelFileType(pointer))
    this.description = `${architecture}, ${short(Number(lib.modelParameters(pointer)))} parameters, ${type}`
    this.layers = lib.modelLayers(pointer)
    this.embedding = lib.modelEmbedding(pointer)
    this.outputWidth = lib.modelOutputWidth(pointer)
    this.trainingContext = lib.modelTrainingContext(pointer)
    this.chatTemplate = lib.modelChatTemplate(pointer, null) ?? undefined
    this.outputsWhole = outputsWhole.has(architecture)
    this.window = lib.modelWindow(pointer)
    this.recurrent = lib.modelIsRecurrent(pointer) || lib.modelIsHybrid(pointer)
    this.vocab = new Vocab(lib.modelVocab(pointer))
  }

  /**
   * Reads the header ourselves first, so that a broken file is a named error and never reaches native code.
   * @throws IncipitError `model_not_found`, `model_invalid`, `model_unsupported`, `native_library`, and
   *   `invalid_request` for a number of experts that the model does not have
   */
  static async load(path: string, options: ModelOptions = {}): Promise<Model> {
    const gguf = await readGguf(path)
    const lib = library()
    const architecture = architectureOf(gguf)
    const changes: [key: string, value: number][] = []
    if (options.experts !== undefined) {
      checkExperts(gguf.metadata, architecture, options.experts)
      changes.push([`${architecture}.expert_used_count`, options.experts])
    }
    using overrides = new Overrides(changes)
    const onGpu = plannedOffload(gguf, options)
    // The progress callback: loading goes on while it says true.
    const go = new Flag(true)
    const params = {
      ...lib.modelDefaultParams(),
      kv_overrides: overrides.pointer,
      load_mtp: options.mtp ?? false,
      no_alloc: options.withoutWeights ?? false,
      // Without a GPU it says nothing.
      n_gpu_layers: onGpu?.layers ?? -1,
      load_mode: options.withoutWeights ? loadModeNone : loadModeMmap,
      progress_callback: stoppable ? go.callback : null,
      progress_callback_user_data: go.data,
    }
    let handle: Pointer
    try {
      handle = await go.stopping(
        false,
        () =>
          new Promise((resolve, reject) =>
            lib.modelLoad.async(path, params, (error, result) => (error ? reject(error) : resolve(result))),
          ),
      )
      if (!handle) {
        const again = withLog(() => lib.modelLoad(path, params))
        handle = again.result
        if (!handle) {
          throw new IncipitError(
            'model_unsupported',
            `llama.cpp cannot load ${path} (architecture '${architecture}'): ${again.errors}`,
          )
        }
      }
    } finally {
      go.free()
    }
    const other = options.forEmbeddings
      ? whyNoVectors(lib, handle)
      : whyNoDecoder(lib, handle, gguf.metadata, architecture)
    if (other !== undefined) {
      lib.modelFree(handle)
      throw new IncipitError('model_unsupported', `${path} (architecture '${architecture}') is ${other}`)
    }
    return new Model(path, handle, gguf, onGpu)
  }

  /**
   * How a model remembers, without its weights.
   * @throws as `load`
   */
  static async memoryOf(path: string): Promise<Pick<Model, 'recurrent' | 'window'>> {
    using model = await Model.load(path, { withoutWeights: true })
    const { recurrent, window } = model
    return { recurrent, window }
  }

  [Symbol.dispose](): void {
    this.handle[Symbol.dispose]()
    this.vocab[Symbol.dispose]()
  }
}

/** What of a model would run on the GPUs of this machine now; undefined without one. */
export function plannedOffload(gguf: Gguf, options?: OffloadOptions): Offload | undefined {
  return offload(gguf, library().backEnds.devices(), options)
}

/** What a model is that does not say one token after the other; undefined for one that does. */
function whyNoDecoder(lib: Library, model: Pointer, metadata: Metadata, architecture: string): string | undefined {
  const only = 'incipit runs models that say one token after the other'
  if (lib.modelHasEncoder(model)) return `an encoder-decoder model; ${only}`
  if (lib.modelIsDiffusion(model)) return `a diffusion model, which writes all tokens at once; ${only}`
  if (metadata.get(`${architecture}.attention.causal`)?.value === false)
    return `a model for embeddings, which \`incipit serve\` offers at /v1/embeddings; ${only}`
  return undefined
}

/** What a model is that makes no vectors of texts. */
function whyNoVectors(lib: Library, model: Pointer): string | undefined {
  if (lib.modelHasEncoder(model)) return 'an encoder-decoder model, which incipit makes no embeddings with'
  if (lib.modelIsDiffusion(model)) return 'a diffusion model, which incipit makes no embeddings with'
  return undefined
}

/** Experts of a mixture-of-experts model: how many each token uses, of how many. Undefined for other models. */
export function expertsOf(
  metadata: Metadata,
  architecture: string,
): { readonly used: number; readonly all: number } | undefined {
  const all = metadataNumber(metadata, `${architecture}.expert_count`)
  // An array (another number in every layer) can not be overridden.
  const used = metadataNumber(metadata, `${architecture}.expert_used_count`)
  return all && used ? { used, all } : undefined
}

/** llama.cpp ends the process for a number of experts that is not there. */
function checkExperts(metadata: Metadata, architecture: string, experts: number): void {
  const all = expertsOf(metadata, architecture)?.all ?? 0
  if (Number.isInteger(experts) && experts >= 1 && experts <= all) return
  const range = all > 0 ? `a whole number from 1 to ${all}` : 'left out: the model has no experts to choose from'
  throw new IncipitError('invalid_request', `experts must be ${range}, not ${experts}`, { param: 'experts' })
}

function short(count: number): string {
  const [divisor, unit] = count >= 1e9 ? [1e9, 'B'] : count >= 1e6 ? [1e6, 'M'] : [1e3, 'k']
  return `${(count / divisor).toPrecision(3)}${unit}`
}
