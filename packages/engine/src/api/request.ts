import type { Constraint } from './constraint.ts'
import type { LogitBias } from './logit-bias.ts'
import type { Policy } from './policies.ts'
import type { ProposerName } from './proposer-names.ts'
import type { TierName } from './tiers.ts'

/** A call of a tool that the assistant asked for. */
export interface ToolCall {
  readonly id?: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
}

/** One message of a conversation, handed to the model's own chat template as it is. */
export interface ChatMessage {
  role: string
  content: string
  name?: string
  /** Of an assistant: what it thought before. */
  reasoning?: string
  /** Of an assistant. */
  toolCalls?: readonly ToolCall[]
  /** Of a tool: the call that this answers. */
  toolCallId?: string
}

/** How a conversation becomes a prompt. */
export interface ChatTemplateOptions {
  /** Descriptions of tools in OpenAI's form (`{ type: 'function', function: { name, description, parameters } }`). */
  readonly tools?: readonly unknown[] | undefined
  /** Ends the prompt where the reply of the assistant begins. Default true. */
  readonly addGenerationPrompt?: boolean | undefined
  /** The last message is continued: the prompt ends with its content. */
  readonly continueFinal?: boolean | undefined
  /** Further variables that the template knows, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined
}

/** What the client expects the reply to be (OpenAI's `prediction`): an editor knows most of an edited file before. */
export interface PredictedContent {
  readonly type: 'content'
  readonly content: string | readonly { readonly type: 'text'; readonly text: string }[]
}

/**
 * How a token is chosen from logits. The rule is a pure function of (logits, seed, position), so speculation never
 * changes the text: the Gumbel-max trick, see `core/sampling/sample.ts`.
 */
export interface Sampling {
  /** 0 is greedy. Default 0. */
  temperature: number
  /** Keep the smallest set of tokens whose probability sums to at least this. 1 is off. Default 1. */
  topP: number
  /** Keep the k most probable tokens. 0 is off. Default 0. */
  topK: number
  /** Drop tokens less probable than this share of the best one. 0 is off. Default 0. */
  minP: number
  /** Any integer; the same seed gives the same text. Default 0. */
  seed: number
}

/**
 * A piece of a raw prompt: text, in which special tokens are plain text, or a token id. Token ids between texts are how a
 * special token gets into a prompt: `[fim.suffix, after, fim.prefix, before, fim.middle]`.
 */
export type PromptPiece = string | number

/** A request: exactly one of `prompt` and `messages`. */
export interface GenerateRequest extends Partial<Sampling> {
  /**
   * Raw completion: text (special tokens are plain text), or a list of token ids and texts. A list is the prompt as it is:
   * nothing is put in front of it.
   */
  prompt?: string | readonly PromptPiece[]
  /** Chat, rendered with the model's template. */
  messages?: readonly ChatMessage[]
  /** Of a chat. */
  template?: ChatTemplateOptions
  /** In a raw prompt, text such as `<|im_end|>` is the special token. Default false. */
  parseSpecial?: boolean
  /** Control tokens that the reply has are part of its text. Default false. */
  showSpecial?: boolean
  /** The reply does not end by itself. Default false. */
  ignoreEnd?: boolean
  /** Most tokens of the reply; with 0 the prompt is computed, and nothing is said. Default: until the context is full. */
  maxTokens?: number
  /** The reply ends before the first of these; they are not part of the text. */
  stop?: readonly string[]
  policy?: Policy
  /** How soon the first word is wanted, and how much others may be kept waiting for it. Default `chat`. */
  tier?: TierName
  /**
   * Calibrated probability of survival below which a guess is not shown, or under `confident` is not final; 0 shows every
   * guess. Without it first words are shown so that nine in ten of them survive, on average; all others from 0.9 on.
   */
  minStability?: number
  /** Policy `tolerant`: share of the best token's probability that keeps a shown token. Default 0.5. */
  alpha?: number
  /** What the reply is expected to be: an editor knows most of an edited file before. Where it is right it is fast. */
  prediction?: PredictedContent | string
  /**
   * The reply begins with this text, whatever its tokens. For a prompt that would end inside a word: give the prompt
   * without its beginning, and that here, and the model can choose the token of the whole word.
   */
  beginsWith?: string
  /**
   * What the reply must look like: compiled by `EngineOptions.constraints`, and refused where that is missing. Null: like
   * anything, also where an open input says otherwise.
   */
  constraint?: Constraint | null
  /**
   * Most tokens of what a model thinks before it answers: then the marker follows that its reasoning ends with. Of a
   * conversation with a model that thinks; with others it does nothing. Default, and null: as many as it likes.
   */
  reasoningBudget?: number | null
  /** Added to the logits before a token is chosen; -100 all but bans one. */
  logitBias?: LogitBias
  /** Subtracted from a token's logit for each time that the reply has it already, -2 to 2. Default 0. */
  frequencyPenalty?: number
  /** Subtracted once from the logit of every token that the reply has already, -2 to 2. Default 0. */
  presencePenalty?: number
  /**
   * Divides the positive, and multiplies the negative logits of tokens that the prompt or the reply has already
   * (Keskar et al. 2019, CTRL, section 4.1). 1 is off. Default 1.
   */
  repetitionPenalty?: number
  /**
   * The three penalties look at so many of the last tokens, of the prompt and the reply alike, as llama.cpp's do. At least
   * 1. Default, and null, also where an open input says otherwise: at the whole reply, and the repetition penalty at the whole
   * prompt, too.
   */
  penaltyWindow?: number | null
  /** The reply does not end by itself, or with a stop string, before it has this many tokens. Default 0. */
  minTokens?: number
  /**
   * Says of every committed token how likely the full model held it, and which this many (0 to 20) it held likeliest:
   * `DeltaEvent.logprobs`. Default: says nothing.
   */
  logprobs?: number
  /**
   * Says the same of every token of the prompt, before the reply: `PromptEvent`. Rows that were computed before tell
   * nothing, so all of the prompt is computed. Default: says nothing.
   */
  promptLogprobs?: number
  /** Tells how much of the prompt is computed: `ProgressEvent`. Default false. */
  progress?: boolean
  /** Proposers that may run. Default: all that this model has. An empty list switches speculation off. */
  proposers?: readonly ProposerName[]
  /** Only requests with the same salt share computed rows: one tenant cannot time another's prompts. Default ''. */
  cacheSalt?: string
  /**
   * Use rows that others computed of the same beginning, and leave one's own to others. Default true. Without it the
   * prompt is computed whole: the same request then always runs the same batches.
   */
  cachePrompt?: boolean
  signal?: AbortSignal
}
