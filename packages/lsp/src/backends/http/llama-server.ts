import type { FimOrder } from '@incipit/engine/api'
import { type FimPrompt, plainText } from '../../context/fim-format.ts'
import type { EditPrompt } from '../../edits/edit-prompt.ts'
import { record } from '../../record.ts'
import type { Said } from '../../suggest/gate.ts'
import {
  type Backend,
  type BackendSession,
  type CompletionOptions,
  PromptTooLong,
  type RewriteOptions,
} from '../backend.ts'
import { WarmUp } from '../warm-up.ts'
import { ChatRewriter } from './chat-rewriter.ts'
import { get, post, type Server, ServerFailure, streamed } from './post.ts'
import { probabilityOf } from './probability.ts'

/**
 * Completions from llama.cpp's server: `/infill`, which knows the special tokens of its model, or `/completion` with what
 * stands before the cursor for a model that has none.
 */
export class LlamaServer implements Backend {
  readonly model: string
  readonly contextTokens: number
  readonly probabilities = true
  readonly begins = false
  readonly failure = undefined
  readonly #server: Server
  readonly #fillsIn: boolean
  readonly #rewriter: ChatRewriter

  private constructor(server: Server, model: string, contextTokens: number, fillsIn: boolean) {
    this.#server = server
    this.model = model
    this.contextTokens = contextTokens
    this.#fillsIn = fillsIn
    this.#rewriter = new ChatRewriter(server, {})
  }

  /** @throws ServerFailure, or what `fetch` throws */
  static async connect(server: Server): Promise<LlamaServer> {
    const props = record(await get(server, '/props'))
    const { n_ctx: context } = record(props.default_generation_settings)
    const path = typeof props.model_path === 'string' ? props.model_path : ''
    const fillsIn = await post(server, '/infill', { input_prefix: 'a', input_suffix: 'b', n_predict: 0 }).then(
      async (answer) => {
        await answer.body?.cancel()
        return true
      },
      (error: unknown) => {
        if (error instanceof ServerFailure && error.answered < 502) return false
        throw error
      },
    )
    const model =
      path
        .split(/[\\/]/)
        .at(-1)
        ?.replace(/\.gguf$/i, '') || 'llama-server'
    return new LlamaServer(server, model, typeof context === 'number' ? context : 2048, fillsIn)
  }

  /** Whether the suffix comes first is the server's choice (`--spm-infill`); a short one suits both. */
  get order(): FimOrder | undefined {
    return this.#fillsIn ? 'psm' : undefined
  }

  get rewrites(): boolean {
    return this.#rewriter.available
  }

  open(): BackendSession {
    return new LlamaServerSession(this.#server, this.#fillsIn)
  }

  rewrite(prompt: EditPrompt, options: RewriteOptions): AsyncGenerator<Said> {
    return this.#rewriter.rewrite(prompt, options)
  }

  async close(): Promise<void> {}
}

class LlamaServerSession implements BackendSession {
  readonly #server: Server
  readonly #fillsIn: boolean
  readonly #warmUp: WarmUp<FimPrompt>

  constructor(server: Server, fillsIn: boolean) {
    this.#server = server
    this.#fillsIn = fillsIn
    this.#warmUp = new WarmUp(async (prompt) => {
      const answer = await post(server, this.#path, { ...this.#body(prompt), n_predict: 0 })
      await answer.body?.cancel()
    })
  }

  follow(prompt: FimPrompt): void {
    this.#warmUp.follow(prompt)
  }

  async *complete(prompt: FimPrompt, options: CompletionOptions): AsyncGenerator<Said> {
    const { maxTokens, signal, temperature = 0, seed = 0, background = false, onUsage } = options
    if (!background) this.#warmUp.skip()
    const body = { ...this.#body(prompt), n_predict: maxTokens, temperature, seed, n_probs: 1, stream: true }
    try {
      for await (const event of streamed(await post(this.#server, this.#path, body, signal))) {
        if (typeof event.content === 'string' && event.content !== '') {
          yield { text: event.content, probability: probabilityOf(event.completion_probabilities) }
        }
        const { cache_n: cached, prompt_n: computed } = record(event.timings)
        if (event.stop === true && typeof cached === 'number' && typeof computed === 'number') {
          onUsage?.({ promptTokens: cached + computed, cachedTokens: cached })
        }
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof ServerFailure && /exceed|too (long|large)/i.test(error.message)) {
        throw new PromptTooLong(error.message)
      }
      throw error
    }
  }

  close(): void {
    this.#warmUp.close()
  }

  get #path(): string {
    return this.#fillsIn ? '/infill' : '/completion'
  }

  #body(prompt: FimPrompt): object {
    const common = { cache_prompt: true, top_k: 1 }
    if (!this.#fillsIn) return { ...common, prompt: plainText(prompt) }
    return {
      ...common,
      input_prefix: prompt.before,
      input_suffix: prompt.after,
      input_extra: prompt.related.map(({ source, text }) => ({ filename: source, text })),
      prompt: '',
    }
  }
}
