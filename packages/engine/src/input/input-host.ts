import type { Generation } from '../api/generation.ts'
import type { PromptFrame } from '../api/input-options.ts'
import type { ChatMessage, ChatTemplateOptions, GenerateRequest } from '../api/request.ts'
import type { ActiveRequest, EarlyTerms } from '../serving/active-request.ts'
import type { InputPrefill } from '../serving/input-prefill.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import type { OpenPrompt } from './prompt-tokenizer.ts'

/** What a session needs of its engine. */
export interface InputHost {
  /**
   * The prompt of a conversation whose next message is still being written, or of raw text.
   * @throws IncipitError `chat_template` where the model has no chat template
   */
  openPrompt(messages: readonly ChatMessage[] | 'raw', frame?: PromptFrame, template?: ChatTemplateOptions): OpenPrompt
  /** Tokens of a raw reply that this longer prompt repeats, or undefined where its tokens are not exactly those. */
  repliedTokens(request: ActiveRequest, prompt: string): number | undefined
  /**
   * Starts a request whose rows begin with those of an open text.
   * @throws as `Engine.generate`
   */
  start(request: GenerateRequest, options: { input: InputPrefill; sink: ReplySink; early?: EarlyTerms }): ActiveRequest
  /** The text an early reply answers is final. */
  makeFinal(request: ActiveRequest, moreTokens: number): void
  cancel(request: ActiveRequest): void
  /** Computes a text ahead; called again after every change. */
  follow(input: InputPrefill): void
  forget(input: InputPrefill): void
  reading(): Reading
}

/** The two ends of a reply: what goes into the sink is read from the generation. */
export interface Reading {
  readonly sink: ReplySink
  /** The reading end. It cancels its request when the signal is aborted, or when nobody reads any more. */
  read(request: ActiveRequest, signal: AbortSignal | undefined): Generation
}
