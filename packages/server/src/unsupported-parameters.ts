import { z } from 'zod'
import { empty, neutral } from './neutral.ts'
import { namesAll } from './samplers.ts'

/**
 * Parameters of llama.cpp, vLLM and others that change a reply and that this server does not have, each with the values that
 * leave a reply as it is. Every dialect has these; one that honours a parameter puts its own in its place. What only tunes
 * another parameter (`mirostat_tau`, `dry_base`) is not here: where that one is off it changes nothing.
 */
export const unsupportedParameters = {
  mirostat: neutral([0]),
  dry_multiplier: neutral([0]),
  xtc_probability: neutral([0]),
  typical_p: neutral([1]),
  tfs_z: neutral([1]),
  top_a: neutral([0]),
  top_n_sigma: neutral([], z.number().max(0)),
  dynatemp_range: neutral([0]),
  adaptive_target: neutral([], z.number().negative()),
  min_keep: neutral([0, 1]),
  penalize_newline: neutral([true]),
  // All of those that we have, in the order in which they run.
  samplers: neutral([], z.array(z.string()).refine(namesAll)),
  n_predict: neutral([-1]),
  n_indent: neutral([0]),
  t_max_predict_ms: neutral([], z.number().max(0)),
  lora: neutral([], empty),
  thinking_budget_tokens: neutral([-1]),
  reasoning_budget_tokens: neutral([-1]),
  thinking_token_budget: neutral([-1]),
  // What is said where a reasoning is cut.
  reasoning_budget_message: neutral(['']),

  use_beam_search: neutral([false]),
  length_penalty: neutral([1]),
  early_stopping: neutral([false]),
  best_of: neutral([1]),
  stop_token_ids: neutral([], empty),
  include_stop_str_in_output: neutral([false]),
  skip_special_tokens: neutral([true]),
  allowed_token_ids: neutral([], empty),
  bad_words: neutral([], empty),
  logits_processors: neutral([], empty),
  repetition_detection: neutral([]),
  truncate_prompt_tokens: neutral([-1]),
}
