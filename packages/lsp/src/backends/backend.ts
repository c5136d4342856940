import { type FimOrder, IncipitError } from '@incipit/engine/api'
import type { FimPrompt } from '../context/fim-format.ts'
import type { EditPrompt } from '../edits/edit-prompt.ts'
import type { Said } from '../suggest/gate.ts'

/** What a request took, as the back end counts it. */
export interface BackendUsage {
  readonly promptTokens: number
  /** Of these, how many were computed already. */
  readonly cachedTokens: number
  /** How many tokens of the reply were predicted, where that is said. */
  readonly acceptedPredictionTokens?: number
}

export interface RewriteOptions {
  readonly maxTokens: number
  readonly signal: AbortSignal
  /** Where the back end says so. */
  readonly onUsage?: (usage: BackendUsage) => void
}

export interface CompletionOptions extends RewriteOptions {
  /** 0 is greedy. */
  readonly temperature?: number
  readonly seed?: number
  /** Nobody waits for it yet: it comes after what somebody waits for. */
  readonly background?: boolean
}

/** Where completions come from. */
export interface Backend {
  /** For people, e.g. `prelude-nano.Q8_0`. */
  readonly model: string
  /** Most tokens of a prompt and its completion. */
  readonly contextTokens: number
  /** Undefined for a model that knows no middle: it is not told what follows the cursor. */
  readonly order: FimOrder | undefined
  /** Whether it says how likely what it says is: without that nothing is held back. */
  readonly probabilities: boolean
  /** Whether its completions can begin with a given text: `FimPrompt.begun` is empty otherwise. */
  readonly begins: boolean
  /** Whether it can be told to rewrite code: it follows instructions, or has not refused yet. */
  readonly rewrites: boolean
  /** Why it gives no completions at present, where it does not. */
  readonly failure: Error | undefined
  /** Resolves when it is lost and another one must be opened. Absent: it is never. */
  readonly gone?: Promise<void>
  open(): BackendSession
  /**
   * What becomes of a piece of code.
   * @throws PromptTooLong, and whatever the back end fails with
   */
  rewrite(prompt: EditPrompt, options: RewriteOptions): AsyncIterable<Said>
  close(): Promise<void>
}

/** One document: what stands before its cursor is kept computed. */
export interface BackendSession {
  /** The prompt as it is now. Costs nothing at once; only the last one counts. */
  follow(prompt: FimPrompt): void
  /**
   * What comes between `before` and `after`. One that is no background work is followed from now on, too.
   * @throws PromptTooLong, and whatever the back end fails with
   */
  complete(prompt: FimPrompt, options: CompletionOptions): AsyncIterable<Said>
  close(): void
}

/** The prompt has more tokens than fit; a smaller one may. */
export class PromptTooLong extends IncipitError {
  constructor(message: string) {
    super('context_overflow', message)
    this.name = 'PromptTooLong'
  }
}
