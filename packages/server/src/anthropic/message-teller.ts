import { randomUUID } from 'node:crypto'
import type { GenerateEvent, Usage } from '@incipit/engine/api'
import type { Teller } from '../answer.ts'
import { endOf } from '../choices.ts'
import type { Part } from '../reply/part.ts'
import { type ReplyEvent, readReply } from '../reply/read-reply.ts'
import type { RequestPlan } from '../request-plan.ts'
import { EventStream } from '../sse.ts'
import type { WireProgress } from '../wire.ts'
import { anthropicError } from './errors.ts'
import { MessageBlocks, wholeBlocks } from './message-blocks.ts'

interface MessageOptions {
  model: string
  /** Of a thinking model: tell what it thinks, and not only that it does. */
  showsThinking: boolean
  requestId: string
  shape: RequestPlan['shape']
}

type Done = Extract<ReplyEvent, { type: 'done' }>

/** Said where nothing else is for long. */
const ping = `event: ping\ndata: ${JSON.stringify({ type: 'ping' })}\n\n`

/** How much of the prompt is computed, in the event that clients pass over. */
export function progressEvent(progress: WireProgress): { type: 'ping'; prompt_progress: WireProgress } {
  return { type: 'ping', prompt_progress: progress }
}

const nothing = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 }

/** The answers of `/v1/messages`. */
export function messageTeller({ model, showsThinking, requestId, shape }: MessageOptions): Teller<EventStream> {
  const reply = (choices: readonly AsyncIterable<GenerateEvent>[]) => readReply(choices[0]!, shape)
  return {
    async whole(choices) {
      const parts: Part[] = []
      for await (const event of reply(choices)) {
        if (event.type === 'part') parts.push(event.part)
        else if (event.type === 'done') {
          return messageOf(model, wholeBlocks(parts, showsThinking), event.event.usage, stopOf(event))
        }
      }
      throw new Error('the generation ended without a done event')
    },
    open: (response, headers, signal) => new EventStream(response, headers, signal, ping),
    async tell(choices, stream) {
      const send = (event: { type: string }) => stream.send(event, event.type)
      // Before the first token, so that the client knows. How long the prompt is, the last event says.
      await send({ type: 'message_start', message: messageOf(model, [], nothing) } as { type: string })
      const blocks = new MessageBlocks(showsThinking)
      for await (const event of reply(choices)) {
        if (event.type === 'part') for (const told of blocks.part(event.part)) await send(told)
        else if (event.type === 'progress') await send(progressEvent(event.progress))
        if (event.type !== 'done') continue
        for (const told of blocks.end()) await send(told)
        const delta = { ...stopOf(event), container: null }
        const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens } = usageOf(
          event.event.usage,
        )
        const usage = { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens }
        await send({ type: 'message_delta', delta, usage } as { type: string })
        await send({ type: 'message_stop' })
      }
      stream.end()
    },
    fail: (stream, error) => stream.fail(anthropicError(error, requestId).body, 'error'),
  }
}

interface Stop {
  stop_reason: string | null
  stop_sequence: string | null
  stop_details: null
}

/** @throws IncipitError `cancelled` */
function stopOf({ end, event }: Done): Stop {
  const told = endOf(end)
  const reason = {
    stop: event.stopString === undefined ? 'end_turn' : 'stop_sequence',
    length: event.finishReason === 'context' ? 'model_context_window_exceeded' : 'max_tokens',
    tool_calls: 'tool_use',
  }[told]
  return { stop_reason: reason, stop_sequence: event.stopString ?? null, stop_details: null }
}

type Tokens = Pick<Usage, 'promptTokens' | 'completionTokens' | 'cachedTokens'>

/** A message without an end is one that begins. */
export function messageOf(
  model: string,
  content: readonly object[],
  usage: Tokens,
  stop: Stop = { stop_reason: null, stop_sequence: null, stop_details: null },
): object {
  const id = `msg_${randomUUID().replaceAll('-', '')}`
  return { id, type: 'message', role: 'assistant', model, content, ...stop, container: null, usage: usageOf(usage) }
}

/** Input tokens are those that had to be computed. Nothing is charged for those that are kept. */
function usageOf({ promptTokens, completionTokens, cachedTokens }: Tokens) {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    cache_creation: null,
    output_tokens: completionTokens,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: 'standard',
  }
}
