import { type EditPrompt, editStop } from '../../edits/edit-prompt.ts'
import { record } from '../../record.ts'
import type { Said } from '../../suggest/gate.ts'
import { type BackendUsage, PromptTooLong, type RewriteOptions } from '../backend.ts'
import { post, type Server, ServerFailure, streamed } from './post.ts'
import { probabilityOf } from './probability.ts'

// In this order they are left out where a server refuses a request: OpenAI's takes no probabilities with a prediction.
const extras = ['prediction', 'logprobs'] as const

/** Rewrites by `/v1/chat/completions`, with what is expected as OpenAI's `prediction` while the server takes that. */
export class ChatRewriter {
  readonly #server: Server
  readonly #common: object
  readonly #continues: boolean
  #refused = 0

  /**
   * @param common parameters of every request, the model's name say
   * @param continues the server goes on with a message of the assistant: then the reply is given its beginning
   */
  constructor(server: Server, common: object, continues = false) {
    this.#server = server
    this.#common = common
    this.#continues = continues
  }

  /** Whether it has not refused everything. */
  get available(): boolean {
    return this.#refused <= extras.length
  }

  /** @throws PromptTooLong, ServerFailure, or what `fetch` throws */
  async *rewrite(prompt: EditPrompt, options: RewriteOptions): AsyncGenerator<Said> {
    const { signal, onUsage } = options
    try {
      const response = await this.#ask(prompt, options)
      if (this.#continues) yield { text: prompt.beginsWith, probability: 1 }
      for await (const event of streamed(response)) {
        const { delta, logprobs } = record(Array.isArray(event.choices) ? event.choices[0] : undefined)
        const { content } = record(delta)
        if (typeof content === 'string' && content !== '') {
          yield { text: content, probability: probabilityOf(record(logprobs).content) }
        }
        const usage = usageOf(event.usage)
        if (usage) onUsage?.(usage)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async #ask(
    { messages, beginsWith, predicted }: EditPrompt,
    { maxTokens, signal }: RewriteOptions,
  ): Promise<Response> {
    for (;;) {
      const refused = this.#refused
      const given = new Set<string>(extras.slice(refused))
      const body = {
        ...this.#common,
        ...(this.#continues
          ? { messages: [...messages, { role: 'assistant', content: beginsWith }], continue_final_message: true }
          : { messages }),
        max_tokens: maxTokens,
        temperature: 0,
        stop: [editStop],
        stream: true,
        stream_options: { include_usage: true },
        ...(given.has('prediction') && { prediction: { type: 'content', content: predicted } }),
        ...(given.has('logprobs') && { logprobs: true }),
      }
      try {
        return await post(this.#server, '/v1/chat/completions', body, signal)
      } catch (error) {
        if (!(error instanceof ServerFailure) || error.answered < 400 || error.answered >= 500) throw error
        if (/context|too long|maximum|at most/i.test(error.message)) throw new PromptTooLong(error.message)
        // A request beside this one may have found out the same.
        this.#refused = Math.max(this.#refused, refused + 1)
        if (!this.available) throw error
      }
    }
  }
}

function usageOf(value: unknown): BackendUsage | undefined {
  const { prompt_tokens: promptTokens, prompt_tokens_details: prompt, completion_tokens_details: reply } = record(value)
  const { cached_tokens: cachedTokens = 0 } = record(prompt)
  const { accepted_prediction_tokens: accepted } = record(reply)
  if (typeof promptTokens !== 'number' || typeof cachedTokens !== 'number') return undefined
  return { promptTokens, cachedTokens, ...(typeof accepted === 'number' && { acceptedPredictionTokens: accepted }) }
}
