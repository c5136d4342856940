import type { GenerateRequest } from '@incipit/engine/api'

type OptionName = keyof GenerateRequest

/** Options that requests over HTTP have by another name than the engine's. Two are the server's own. */
type Renamed = Exclude<
  { [Name in OptionName]-?: Lowercase<Name> extends Name ? never : Name }[OptionName],
  'beginsWith' | 'showSpecial'
>

/** What a request calls the options of the engine: errors name them so. */
export const wireNames: Readonly<Record<Renamed, string>> = {
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  parseSpecial: 'parse_special',
  ignoreEnd: 'ignore_eos',
  maxTokens: 'max_tokens',
  minTokens: 'min_tokens',
  minStability: 'min_stability',
  reasoningBudget: 'thinking_budget_tokens',
  logitBias: 'logit_bias',
  frequencyPenalty: 'frequency_penalty',
  presencePenalty: 'presence_penalty',
  repetitionPenalty: 'repetition_penalty',
  penaltyWindow: 'repeat_last_n',
  promptLogprobs: 'prompt_logprobs',
  cacheSalt: 'cache_salt',
  cachePrompt: 'cache_prompt',
}
