import type { Usage } from '@incipit/engine/api'
import type { Item } from '../items/item.ts'
import type { Account, WireTimings } from '../wire.ts'
import { timingsOf } from '../wire.ts'
import type { ResponsesBody } from './responses-body.ts'

type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed'

interface ResponseUsage {
  readonly input_tokens: number
  readonly input_tokens_details: { readonly cached_tokens: number; readonly cache_write_tokens: number }
  readonly output_tokens: number
  readonly output_tokens_details: { readonly reasoning_tokens: number }
  readonly total_tokens: number
}

/** What changes while a response is made. */
export interface ResponseState {
  readonly status: ResponseStatus
  readonly output: readonly Item[]
  /** Unix time in seconds. */
  readonly completed_at: number | null
  readonly error: { readonly code: string; readonly message: string } | null
  readonly incomplete_details: { readonly reason: 'max_output_tokens' } | null
  readonly usage: ResponseUsage | null
  /** Extensions: as in the other dialects. */
  readonly timings?: WireTimings
  readonly lossy?: true
}

/** A response as it is told. */
export type ResponseObject = ResponseState & { readonly id: string; readonly object: 'response' } & Readonly<
    Record<string, unknown>
  >

/** What a response says from its beginning: how it was asked for. */
export function responseHead(body: ResponsesBody, { id, model, tier }: { id: string; model: string; tier: unknown }) {
  return {
    id,
    object: 'response',
    created_at: unixTime(),
    background: false,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: summaryOf(body) ?? null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: tier === 'batch' ? 'flex' : 'default',
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' }, verbosity: body.text?.verbosity ?? 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map(({ type, name, description, parameters, strict }) => ({
      type,
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? false,
    })),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    ...(body.user ? { user: body.user } : {}),
  } as const
}

/** How the reasoning shall be summed up, where it shall. */
export function summaryOf({ reasoning }: ResponsesBody): string | undefined {
  return reasoning?.summary ?? reasoning?.generate_summary ?? undefined
}

export const begun: ResponseState = {
  status: 'in_progress',
  output: [],
  completed_at: null,
  error: null,
  incomplete_details: null,
  usage: null,
}

/** @param keeps the rows of the prompt stay for others */
function responseUsage(
  { promptTokens, cachedTokens, completionTokens }: Pick<Usage, 'promptTokens' | 'cachedTokens' | 'completionTokens'>,
  reasoningTokens: number,
  keeps: boolean,
): ResponseUsage {
  return {
    input_tokens: promptTokens,
    input_tokens_details: {
      cached_tokens: cachedTokens,
      cache_write_tokens: keeps ? promptTokens - cachedTokens : 0,
    },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  }
}

/** What a response says at its end of the work it was. */
export function accountOf(account: Account, reasoningTokens: number, keeps: boolean, lossy: boolean) {
  return {
    usage: responseUsage(account.usage, reasoningTokens, keeps),
    timings: timingsOf([account]),
    ...(lossy && ({ lossy } as const)),
  }
}

export function unixTime(): number {
  return Math.floor(Date.now() / 1000)
}
