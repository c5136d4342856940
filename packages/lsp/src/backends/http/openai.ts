import { type FimFamily, type FimOrder, fimFamily } from '@incipit/engine/api'
import { type FimPrompt, plainText, promptText } from '../../context/fim-format.ts'
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
import { tierOf } from '../tier.ts'
import { WarmUp } from '../warm-up.ts'
import { ChatRewriter } from './chat-rewriter.ts'
import { get, post, type Server, ServerFailure, streamed } from './post.ts'

export interface OpenAiOptions {
  /** The server's name for the model; undefined: its first one. */
  readonly model: string | undefined
  /** It is an incipit: it takes a tier, and prefills. */
  readonly incipit: boolean
  readonly contextTokens: number
  readonly log: (message: string) => void
}

/**
 * Completions from any server with OpenAI's `/v1/completions`. What stands behind the cursor goes along in the prompt form
 * of the model's family where its name tells that, else as `suffix`.
 */
export class OpenAiServer implements Backend {
  readonly model: string
  readonly contextTokens: number
  readonly begins = false
  readonly failure = undefined
  /** What the server cannot do is found out once. */
  readonly #abilities: Abilities
  readonly #server: Server
  readonly #options: OpenAiOptions
  readonly #family: FimFamily | undefined
  readonly #rewriter: ChatRewriter

  private constructor(server: Server, model: string, options: OpenAiOptions) {
    this.#server = server
    this.#options = options
    this.model = model
    this.contextTokens = options.contextTokens
    // Ours knows the tokens of its model itself.
    this.#family = options.incipit ? undefined : fimFamily({ name: model, architecture: '' })
    this.#abilities = { logprobs: true, suffix: true }
    const { incipit } = options
    this.#rewriter = new ChatRewriter(server, { model, ...(incipit && { tier: 'code' }) }, incipit)
  }

  /** @throws ServerFailure, or what `fetch` throws */
  static async connect(server: Server, options: OpenAiOptions): Promise<OpenAiServer> {
    const { data } = record(await get(server, '/v1/models'))
    const first = Array.isArray(data) ? record(data[0]).id : undefined
    const model = options.model ?? (typeof first === 'string' ? first : undefined)
    if (model === undefined) throw new ServerFailure(404, 'the server names no model: set incipit.serverModel')
    return new OpenAiServer(server, model, options)
  }

  get probabilities(): boolean {
    return this.#abilities.logprobs
  }

  get order(): FimOrder | undefined {
    if (this.#family) return this.#family.order
    return this.#abilities.suffix ? 'psm' : undefined
  }

  get rewrites(): boolean {
    return this.#rewriter.available
  }

  open(): BackendSession {
    return new OpenAiSession(this.#server, this.model, this.#family, this.#abilities, this.#options)
  }

  rewrite(prompt: EditPrompt, options: RewriteOptions): AsyncGenerator<Said> {
    return this.#rewriter.rewrite(prompt, options)
  }

  async close(): Promise<void> {}
}

interface Abilities {
  logprobs: boolean
  suffix: boolean
}

class OpenAiSession implements BackendSession {
  readonly #server: Server
  readonly #model: string
  readonly #family: FimFamily | undefined
  readonly #abilities: Abilities
  readonly #options: OpenAiOptions
  readonly #warmUp: WarmUp<FimPrompt>

  constructor(
    server: Server,
    model: string,
    family: FimFamily | undefined,
    abilities: Abilities,
    options: OpenAiOptions,
  ) {
    this.#server = server
    this.#model = model
    this.#family = family
    this.#abilities = abilities
    this.#options = options
    this.#warmUp = new WarmUp(async (prompt) => {
      const answer = await post(server, '/v1/prefill', this.#prompt(prompt))
      await answer.body?.cancel()
    })
  }

  follow(prompt: FimPrompt): void {
    // Others would be paid for it.
    if (this.#options.incipit) this.#warmUp.follow(prompt)
  }

  async *complete(prompt: FimPrompt, options: CompletionOptions): AsyncGenerator<Said> {
    if (!options.background) this.#warmUp.skip()
    const response = await this.#ask(prompt, options)
    if (!response) return
    try {
      for await (const event of streamed(response)) {
        const choice = record(Array.isArray(event.choices) ? event.choices[0] : undefined)
        if (typeof choice.text === 'string' && choice.text !== '') {
          yield { text: choice.text, probability: probabilityOf(choice.logprobs) }
        }
        this.#tellUsage(event.usage, options)
      }
    } catch (error) {
      if (!options.signal.aborted) throw error
    }
  }

  close(): void {
    this.#warmUp.close()
  }

  /** @returns undefined when the signal came first */
  async #ask(prompt: FimPrompt, options: CompletionOptions): Promise<Response | undefined> {
    const { maxTokens, signal, temperature = 0, seed = 0, background = false } = options
    for (;;) {
      const abilities = { ...this.#abilities }
      const body = {
        ...this.#prompt(prompt),
        max_tokens: maxTokens,
        temperature,
        seed,
        stream: true,
        stream_options: { include_usage: true },
        ...(abilities.logprobs && { logprobs: 1 }),
        ...(this.#options.incipit && { tier: tierOf(background) }),
      }
      try {
        return await post(this.#server, '/v1/completions', body, signal)
      } catch (error) {
        if (signal.aborted) return undefined
        if (!(error instanceof ServerFailure) || error.answered < 400 || error.answered >= 500) throw error
        if (/context|too long|maximum|at most/i.test(error.message)) throw new PromptTooLong(error.message)
        this.#withdraw(abilities, error)
      }
    }
  }

  /** Leaves out what the server may have refused, one thing after the other. */
  #withdraw(asked: Abilities, error: ServerFailure): void {
    const { log } = this.#options
    if (asked.logprobs && !/suffix/i.test(error.message)) {
      this.#abilities.logprobs = false
      log(`${this.#server.url} gives no probabilities: nothing is held back (${error.message})`)
    } else if (asked.suffix && !this.#family) {
      this.#abilities.suffix = false
      log(`${this.#server.url} takes no suffix: it is not told what stands behind the cursor (${error.message})`)
    } else throw error
  }

  #prompt(prompt: FimPrompt): object {
    const model = this.#model
    if (this.#family) return { model, prompt: promptText(prompt, this.#family) }
    const suffix = this.#abilities.suffix && prompt.after !== ''
    return { model, prompt: plainText(prompt), ...(suffix && { suffix: prompt.after }) }
  }

  #tellUsage(usage: unknown, { onUsage }: CompletionOptions): void {
    const { prompt_tokens: promptTokens, prompt_tokens_details: details } = record(usage)
    const { cached_tokens: cachedTokens = 0 } = record(details)
    if (typeof promptTokens === 'number' && typeof cachedTokens === 'number') onUsage?.({ promptTokens, cachedTokens })
  }
}

function probabilityOf(logprobs: unknown): number | undefined {
  const { token_logprobs: values } = record(logprobs)
  if (!Array.isArray(values) || values.length === 0) return undefined
  let sum = 0
  for (const value of values) {
    if (typeof value !== 'number') return undefined
    sum += value
  }
  return Math.exp(sum)
}
