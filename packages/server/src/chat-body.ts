import { z } from 'zod'
import { chatMessage } from './chat-message.ts'
import { constraintParameters, refineConstraint } from './constraint.ts'
import { empty, neutral } from './neutral.ts'
import {
  promptLogprobsParameter,
  refinePromptLogprobs,
  refineShared,
  returnProgress,
  sharedParameters,
  textOnly,
  tokenLimit,
} from './parameters.ts'
import { reasoningBudgetFields } from './reasoning-budget.ts'
import { strictArray } from './strict-array.ts'
import { refineTools, toolParameters } from './tools/tool-parameters.ts'

/** The body of `POST /v1/chat/completions`. */
export const chatBody = z
  .object({
    ...sharedParameters,
    ...constraintParameters,
    ...toolParameters,
    ...promptLogprobsParameter,
    messages: strictArray(chatMessage),
    max_completion_tokens: tokenLimit.nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    // Variables of the chat template, as vLLM and llama-server have them.
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
    reasoning_effort: z.string().nullish(),
    enable_thinking: z.boolean().nullish(),
    add_generation_prompt: z.boolean().nullish(),
    continue_final_message: z.boolean().nullish(),
    ...reasoningBudgetFields,
    // llama-server's: `none` leaves the reasoning in the content.
    reasoning_format: z.enum(['none', 'auto', 'deepseek', 'deepseek-legacy']).nullish(),
    // llama-server's name of max_tokens, which wins over it there.
    n_predict: tokenLimit.nullish(),
    return_progress: returnProgress,
    modalities: neutral([], textOnly),
    audio: neutral([]),
    web_search_options: neutral([]),
    moderation: neutral([]),
    // llama-server's: how a reply is taken apart.
    generation_prompt: neutral(['']),
    parse_tool_calls: neutral([true]),
    // vLLM's.
    chat_template: neutral([]),
    documents: neutral([], empty),
    echo: neutral([false]),
    add_special_tokens: neutral([false]),
    include_reasoning: neutral([true]),
  })
  .superRefine(refineShared)
  .superRefine(refineConstraint)
  .superRefine(refineTools)
  .superRefine(refinePromptLogprobs)
  .superRefine((body, context) => {
    const refuse = (param: string, message: string) => context.addIssue({ code: 'custom', path: [param], message })
    if (typeof body.top_logprobs === 'number' && !body.logprobs) refuse('top_logprobs', 'needs "logprobs": true')
    if (body.continue_final_message && body.messages.at(-1)?.role !== 'assistant') {
      refuse('continue_final_message', 'needs a last message of the assistant')
    }
    if (body.continue_final_message && body.add_generation_prompt) {
      refuse('add_generation_prompt', 'does not go with continue_final_message')
    }
  })

export type ChatBody = z.infer<typeof chatBody>
