import type { InputOptions } from '../api/input-options.ts'
import type { ChatMessage, GenerateRequest } from '../api/request.ts'

/**
 * The request that asks for the reply to an input as it is now; `request` goes before its options, and its messages before
 * the conversation.
 */
export function wholeRequest(
  options: InputOptions,
  request: Partial<GenerateRequest>,
  input: { readonly text: string; readonly messages: readonly ChatMessage[] },
): GenerateRequest {
  const {
    messages: _m,
    raw,
    frame,
    speculate: _s,
    pauseMs: _t,
    replyBudget: _b,
    onProgress: _p,
    onPreview: _v,
    ...shared
  } = options
  if (!raw) return { ...shared, ...request, messages: [...(request.messages ?? input.messages)] }
  return { ...shared, ...request, prompt: frame ? [...frame.before, input.text, ...frame.after] : input.text }
}
