import type { ChatMessage } from '../src/api/request.ts'
import type { ServerProcess } from './server-process.ts'
import { eventsOf } from './sse-events.ts'

/** A reply of so many tokens, greedy. */
export async function chatReply(
  { name, address }: ServerProcess,
  messages: readonly ChatMessage[],
  tokens: number,
): Promise<ChatReply> {
  const stream = { stream: true, stream_options: { include_usage: true } }
  const body = JSON.stringify({ messages, max_tokens: tokens, temperature: 0, ...stream })
  const begin = performance.now()
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`)
  let ttft = Number.NaN
  let text = ''
  let read = Number.NaN
  for await (const { choices, usage } of eventsOf<Chunk>(response.body!)) {
    if (usage) read = usage.prompt_tokens - (usage.prompt_tokens_details?.cached_tokens ?? 0)
    const content = choices[0]?.delta?.content
    if (!content) continue
    if (text === '') ttft = performance.now() - begin
    text += content
  }
  if (text === '') throw new Error(`${name}: a reply without text`)
  return { text, ttft, read }
}

export interface ChatReply {
  readonly text: string
  /** When its first text came: milliseconds since the request was sent. */
  readonly ttft: number
  /** Tokens of the prompt that had to be computed. */
  readonly read: number
}

interface Chunk {
  readonly choices: { delta?: { content?: string } }[]
  readonly usage?: { prompt_tokens: number; prompt_tokens_details?: { cached_tokens?: number } } | null
}
