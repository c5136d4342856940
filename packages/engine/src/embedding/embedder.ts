import { basename } from 'node:path'
import type { Embedded, EmbedderApi, EmbedderInfo, EmbedderOptions, EmbedInput } from '../api/embedder-api.ts'
import { IncipitError } from '../api/errors.ts'
import { isForEmbeddings, poolingOf, readGguf } from '../gguf/index.ts'
import { Batch } from '../llama/batch.ts'
import { EmbeddingContext } from '../llama/embedding-context.ts'
import { addNativeLog } from '../llama/library.ts'
import { Model } from '../llama/model.ts'
import { Threadpool } from '../llama/threadpool.ts'
import { Cleanup } from '../runtime/cleanup.ts'
import { defaultThreads } from '../runtime/default-threads.ts'
import { packTexts } from './batches.ts'

// Texts of one run: with more, the tokens are what ends it.
const maxTexts = 16
const maxDefaultContext = 2048
const minDefaultContext = 512
// llama.cpp reserves logits for every token although nobody reads them: the vocabulary bounds what is asked for unasked.
const defaultLogitBytes = 256 * 2 ** 20

/**
 * Makes vectors of texts: of what they are about, so that texts about the same thing have vectors that point the same way.
 *
 * @example
 * await using embedder = await Embedder.load('nomic-embed-text.gguf')
 * const { vectors } = await embedder.embed(['search_query: red fruit', 'search_document: Strawberries are ripe in June.'])
 */
export class Embedder implements EmbedderApi {
  readonly info: EmbedderInfo
  readonly failure = undefined
  readonly #model: Model
  readonly #context: EmbeddingContext
  readonly #batch: Batch
  readonly #dispose: () => void
  /** Runs take turns, so that a long list of one request holds up nobody else for longer than a run. */
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #since: number | undefined
  #told: (computing: boolean) => void = () => {}
  #mostThreads = Number.POSITIVE_INFINITY
  #closing: Promise<void> | undefined

  private constructor(
    info: EmbedderInfo,
    parts: { model: Model; context: EmbeddingContext; batch: Batch; dispose: () => void },
  ) {
    this.info = info
    this.#model = parts.model
    this.#context = parts.context
    this.#batch = parts.batch
    this.#dispose = parts.dispose
  }

  /**
   * Loads a GGUF model of either kind: one for embeddings, or one that says one token after the other, whose states are
   * averaged.
   * @throws IncipitError `model_not_found`, `model_invalid`, `model_unsupported`, `context_memory`, `native_library`,
   *   `invalid_request`
   */
  static async load(path: string, options: EmbedderOptions = {}): Promise<Embedder> {
    const { contextLength, threads = defaultThreads(), log } = options
    if (contextLength !== undefined && !(Number.isInteger(contextLength) && contextLength >= 1)) {
      const message = `contextLength must be a whole number of at least 1, not ${contextLength}`
      throw new IncipitError('invalid_request', message, { param: 'contextLength' })
    }
    using cleanup = new Cleanup()
    if (log) cleanup.defer(addNativeLog(log))
    const gguf = await readGguf(path)
    const pooling = poolingOf(gguf) ?? 'mean'
    if (pooling === 'rank') {
      throw new IncipitError('model_unsupported', `${path} ranks texts and makes no vectors of them`)
    }
    const model = cleanup.use(await Model.load(path, { forEmbeddings: true }))
    const { vocab, architecture, description, trainingContext, outputWidth } = model
    const affordable = Math.floor(defaultLogitBytes / (4 * vocab.size))
    const usual = Math.min(maxDefaultContext, Math.max(minDefaultContext, affordable))
    const tokens = Math.min(contextLength ?? usual, trainingContext || usual)
    const threadpool = cleanup.use(new Threadpool(threads))
    // Recurrent states take the tokens of each text in steps of their own, and pooling sees one step.
    const texts = model.recurrent ? 1 : maxTexts
    const context = cleanup.use(new EmbeddingContext(model, { tokens, texts, pooling, threadpool }))
    const batch = cleanup.use(new Batch(tokens))
    const info: EmbedderInfo = {
      name: basename(path).replace(/\.gguf$/i, ''),
      path,
      architecture,
      description,
      vocabulary: vocab.size,
      dimensions: outputWidth,
      contextLength: tokens,
      pooling,
      made: isForEmbeddings(gguf),
      memory: { bytes: 2 * 4 * tokens * vocab.size },
    }
    const held = cleanup.move()
    return new Embedder(info, { model, context, batch, dispose: () => held[Symbol.dispose]() })
  }

  async embed(inputs: readonly EmbedInput[], { signal }: { signal?: AbortSignal } = {}): Promise<Embedded> {
    this.#live()
    const texts = inputs.map((input, index) => this.#tokensOf(input, index))
    const vectors: Float32Array<ArrayBuffer>[] = []
    const lengths = texts.map(({ length }) => length)
    for (const run of packTexts(lengths, this.#context)) {
      const made = await this.#inTurn(() => {
        this.#live()
        if (signal?.aborted) throw new IncipitError('cancelled', 'the embedding was cancelled')
        return this.#run(run.map((index) => texts[index]!))
      })
      vectors.push(...made.map(normalised))
    }
    return { vectors, tokens: lengths.reduce((sum, length) => sum + length, 0) }
  }

  limitThreads(most: number): void {
    this.#mostThreads = Math.max(1, most)
  }

  /** @param told when runs begin, and when nobody waits for one any more */
  watchComputing(told: (computing: boolean) => void): void {
    this.#told = told
  }

  /** How long the current run has taken; nothing is known of how long it should. */
  mostOverdue(): { ms: number; expectedMs: undefined } | undefined {
    return this.#since === undefined ? undefined : { ms: performance.now() - this.#since, expectedMs: undefined }
  }

  /** What waits is refused; the run that goes on ends. */
  close(): Promise<void> {
    this.#closing ??= this.#turn.then(this.#dispose, this.#dispose)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #tokensOf(input: EmbedInput, index: number): readonly number[] {
    const { vocab } = this.#model
    const refuse = (code: 'invalid_request' | 'context_overflow', message: string): never => {
      throw new IncipitError(code, `input[${index}]: ${message}`, { param: 'input' })
    }
    // As the model's own examples have it: texts of special tokens are these tokens.
    const tokens = typeof input === 'string' ? vocab.tokenize(input, { special: true, addBos: true }) : input
    if (input.length === 0) refuse('invalid_request', 'must not be empty')
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < vocab.size) continue
      refuse('invalid_request', `token ${token} is outside the vocabulary of ${vocab.size}`)
    }
    const { contextLength } = this.info
    if (tokens.length > contextLength) {
      refuse('context_overflow', `${tokens.length} tokens, and this model takes ${contextLength} at once`)
    }
    return tokens
  }

  async #run(texts: readonly (readonly number[])[]): Promise<Float32Array<ArrayBuffer>[]> {
    this.#batch.clear()
    for (const [text, tokens] of texts.entries()) {
      for (const [position, token] of tokens.entries()) this.#batch.add(token, position, [text], true)
    }
    this.#context.setThreads(this.#mostThreads)
    this.#since = performance.now()
    try {
      return await this.#context.run(this.#batch, texts.length)
    } finally {
      this.#since = undefined
    }
  }

  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#waiting++ === 0) this.#told(true)
    const turn = this.#turn.then(run)
    this.#turn = turn.catch(() => {})
    try {
      return await turn
    } finally {
      if (--this.#waiting === 0) this.#told(false)
    }
  }

  #live(): void {
    if (this.#closing) throw new IncipitError('closed', 'the embedder was closed')
  }
}

/** Of length 1; a vector of zeros stays one. */
function normalised(vector: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}
