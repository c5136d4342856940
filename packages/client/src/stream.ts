import { ClientError, errorFrom, memberOf } from './client-error.ts'
import type { Provisional } from './revisable-text.ts'
import { parseServerSentEvents } from './sse.ts'
import { type ToolCall, ToolCalls } from './tool-calls.ts'

/** Committed text: never taken back. */
export interface ReplyDelta {
  type: 'delta'
  text: string
}

/** The tail after the committed offset `base` now reads `text`. Only from servers that were asked for it. */
export interface ReplyProvisional extends Provisional {
  type: 'provisional'
  /** Number of tokens the text covers. */
  tokens?: number
  /** Why a tail was taken back. */
  reason?: string
}

/** Token counts as the wire has them. */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details?: { cached_tokens?: number }
  completion_tokens_details?: { accepted_prediction_tokens?: number; rejected_prediction_tokens?: number }
}

/** The server's `timings`: milliseconds and counts by wire names such as `prompt_ms`. */
export type Timings = Record<string, number | null>

/** The end of the reply; nothing follows. */
export interface ReplyDone {
  type: 'done'
  /** `stop`, `length` and so on; null when the server never said. */
  finishReason: string | null
  /** With the finish reason `tool_calls`: the calls, whole. Their results are messages of the role `tool`. */
  toolCalls?: ToolCall[]
  /** With `stream_options.include_usage`. */
  usage?: Usage
  /** Where the server gave them. */
  timings?: Timings
  /** Present where the text may differ from the model's own, because a lossy policy was asked for. */
  lossy?: true
}

export type ReplyEvent = ReplyDelta | ReplyProvisional | ReplyDone

export interface StreamOptions {
  /** Extra request headers, for example `authorization`. */
  headers?: Record<string, string>
  /** Ends the request; the iteration then fails with the signal's reason. */
  signal?: AbortSignal
}

/**
 * POSTs a chat completion and yields the events of choice 0. The body is sent as it is with `stream: true`: ask for
 * revisable text with `stream_options: { include_provisional: true }`, for counts with `include_usage: true`. Leaving
 * the loop early ends the request.
 *
 * @param url the whole address, for example `http://127.0.0.1:8080/v1/chat/completions`
 * @throws ClientError when the server refuses, reports a failure in the stream, or ends the stream too early
 * @throws whatever `fetch` throws when the server cannot be reached or the signal is aborted
 */
export function streamChat(url: string | URL, body: Record<string, unknown>, options: StreamOptions = {}): Reply {
  return stream(url, body, options, (choice) => memberOf(memberOf(choice, 'delta'), 'content'))
}

/** POSTs a raw completion, for example to `http://127.0.0.1:8080/v1/completions`; otherwise as {@link streamChat}. */
export function streamCompletion(url: string | URL, body: Record<string, unknown>, options: StreamOptions = {}): Reply {
  return stream(url, body, options, (choice) => memberOf(choice, 'text'))
}

type Reply = AsyncGenerator<ReplyEvent, void, undefined>

async function* stream(
  url: string | URL,
  body: Record<string, unknown>,
  options: StreamOptions,
  contentOf: (choice: unknown) => unknown,
): Reply {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...options.headers },
    body: JSON.stringify({ ...body, stream: true }),
    signal: options.signal ?? null,
  })
  if (!response.ok || response.body === null) throw await httpError(response)

  const done: ReplyDone = { type: 'done', finishReason: null }
  const calls = new ToolCalls()
  let ended = false
  for await (const data of parseServerSentEvents(response.body)) {
    // Read to the end of the response: a cancelled one costs the connection, and the next request its handshake.
    if (ended) continue
    if (data === '[DONE]') {
      ended = true
      yield withCalls(done, calls)
      continue
    }
    const chunk = parseChunk(response.status, data)
    const text = contentOf(firstChoice(chunk))
    if (typeof text === 'string' && text !== '') yield { type: 'delta', text }
    const provisional = provisionalOf(memberOf(chunk, 'provisional'))
    if (provisional) yield provisional
    calls.take(memberOf(memberOf(firstChoice(chunk), 'delta'), 'tool_calls'))
    note(chunk, done)
  }
  if (ended) return
  // Some servers close without [DONE]; a reply that has its finish reason is whole all the same.
  if (done.finishReason === null) {
    throw new ClientError(response.status, 'incomplete_stream', 'the stream ended before the reply was finished')
  }
  yield withCalls(done, calls)
}

/** A reply that ended otherwise, at its bound for example, may have a call that was cut off. */
function withCalls(done: ReplyDone, calls: ToolCalls): ReplyDone {
  return done.finishReason === 'tool_calls' ? { ...done, toolCalls: calls.all } : done
}

async function httpError(response: Response): Promise<ClientError> {
  const text = await response.text()
  const message = text.trim() || response.statusText || `the server answered with status ${response.status}`
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    // Not JSON (a proxy's page, say): the text itself is the message.
  }
  return errorFrom(response.status, body, { code: 'http_error', message })
}

function parseChunk(status: number, data: string): unknown {
  let chunk: unknown
  try {
    chunk = JSON.parse(data)
  } catch {
    throw new ClientError(status, 'stream_error', `the stream holds an event that is not JSON: ${data.slice(0, 80)}`)
  }
  if (memberOf(chunk, 'error') !== undefined) {
    throw errorFrom(status, chunk, { code: 'stream_error', message: 'the server failed while streaming' })
  }
  return chunk
}

/** The `provisional` object of the wire as an event; undefined for another choice's and for anything else. */
export function provisionalOf(value: unknown): ReplyProvisional | undefined {
  if (!isProvisional(value) || (memberOf(value, 'index') ?? 0) !== 0) return undefined
  const { rev, base, text, tokens, stability, source, reason } = value
  return {
    type: 'provisional',
    rev,
    base,
    text,
    ...(tokens === undefined ? {} : { tokens }),
    ...(stability === undefined ? {} : { stability }),
    ...(source === undefined ? {} : { source }),
    ...(reason === undefined ? {} : { reason }),
  }
}

function isProvisional(value: unknown): value is Omit<ReplyProvisional, 'type'> {
  return (
    typeof memberOf(value, 'rev') === 'number' &&
    typeof memberOf(value, 'base') === 'number' &&
    typeof memberOf(value, 'text') === 'string'
  )
}

function firstChoice(chunk: unknown): unknown {
  const choices = memberOf(chunk, 'choices')
  if (!Array.isArray(choices)) return undefined
  return choices.find((choice: unknown) => (memberOf(choice, 'index') ?? 0) === 0)
}

/** Finish reason, usage, timings and the lossy mark may come in different chunks; the last of each counts. */
function note(chunk: unknown, done: ReplyDone): void {
  const reason = memberOf(firstChoice(chunk), 'finish_reason')
  if (typeof reason === 'string') done.finishReason = reason
  noteAccount(chunk, done)
}

/** Usage, timings and the lossy mark, as far as they stand there. */
export function noteAccount(source: unknown, done: ReplyDone): void {
  const usage = memberOf(source, 'usage')
  if (typeof usage === 'object' && usage !== null) done.usage = usage as Usage
  const timings = memberOf(source, 'timings')
  if (typeof timings === 'object' && timings !== null) done.timings = timings as Timings
  if (memberOf(source, 'lossy') === true) done.lossy = true
}
