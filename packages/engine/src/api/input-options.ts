import type { ProvisionalEvent } from './events.ts'
import type { ChatMessage, GenerateRequest, PromptPiece } from './request.ts'

/** How far the engine runs ahead of an input that is still open. */
export type Speculate = 'off' | 'prefill' | 'reply'

/** What stands around an open text in its prompt, such as the text behind the cursor of an editor. */
export interface PromptFrame {
  readonly before: readonly PromptPiece[]
  readonly after: readonly PromptPiece[]
}

export interface InputOptions extends Omit<GenerateRequest, 'prompt' | 'messages' | 'promptLogprobs' | 'signal'> {
  /** The conversation before the open message. */
  messages?: readonly ChatMessage[]
  /** Raw completion: the open text itself is the prompt. */
  raw?: boolean
  /**
   * Of a raw input: the prompt is `before`, the open text, `after`. What stands before is kept computed with the text;
   * with a frame nothing else is put in front. Default: none.
   */
  frame?: PromptFrame
  /**
   * `prefill` computes what is there while nothing else is to be done; `reply` also begins to answer when the writer
   * pauses, as if the text were complete. Default `prefill`.
   */
  speculate?: Speculate
  /**
   * How long after its last change the writer counts as pausing, in milliseconds. 0: a reply is begun with every change that
   * is not what the last one said, as an editor wants it. Default: longer than their rhythm explains, 60 to 300.
   */
  pauseMs?: number | undefined
  /** Tokens of a reply that is begun early. Default 24. */
  replyBudget?: number
  /**
   * How far the prefill has come: tokens of the text so far, and how many are computed. If it throws, the session ends
   * with its error.
   */
  onProgress?: (progress: { rev: number; tokens: number; computed: number }) => void
  /**
   * The reply that was begun early, as provisional text: shown while the input is open, taken back when it changes. If it
   * throws, the session ends with its error.
   */
  onPreview?: (event: ProvisionalEvent) => void
}
