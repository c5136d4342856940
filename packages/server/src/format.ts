import { randomUUID } from 'node:crypto'
import type { WireFinishReason, WireProvisional, WireTimings, WireUsage } from './wire.ts'

/** A finished choice as text. */
export interface Choice {
  text: string
  finishReason: WireFinishReason
}

/**
 * How one endpoint spells its answer: the two endpoints differ in nothing else. Every method returns an object ready
 * for `JSON.stringify`.
 */
export interface Format {
  /** The first chunk of a choice, where the endpoint has one. */
  opening(index: number): object | undefined
  delta(index: number, text: string): object
  /** A chunk-shaped object without choices, which stock clients pass over. */
  provisional(index: number, event: WireProvisional): object
  finish(index: number, reason: WireFinishReason): object
  /** The last chunk, without choices. */
  usage(usage: WireUsage, timings: WireTimings): object
  /** The answer of a request that does not stream. */
  body(choices: readonly Choice[], usage: WireUsage, timings: WireTimings): object
}

export interface FormatOptions {
  /** The name of the loaded model, whatever the request called it. */
  model: string
  /** OpenAI sends `"usage": null` in every chunk but the last when usage was asked for. */
  includeUsage: boolean
  /** Say where the reply ends that its text may differ from the full model's: somebody asked for such a policy. */
  lossy: boolean
}

/** The shapes of `/v1/chat/completions`: `chat.completion` and `chat.completion.chunk`. */
export function chatFormat({ model, includeUsage, lossy }: FormatOptions): Format {
  const head = { id: newId('chatcmpl'), created: now(), model }
  const chunk = { ...head, object: 'chat.completion.chunk' }
  const ordinary = (index: number, delta: object, reason: WireFinishReason | null) => ({
    ...chunk,
    choices: [{ index, delta, logprobs: null, finish_reason: reason }],
    ...(includeUsage ? { usage: null } : {}),
  })
  return {
    opening: (index) => ordinary(index, { role: 'assistant', content: '', refusal: null }, null),
    delta: (index, text) => ordinary(index, { content: text }, null),
    provisional: (index, event) => provisionalChunk(chunk, { index, ...event }, includeUsage),
    finish: (index, reason) => ({ ...ordinary(index, {}, reason), ...mark(lossy) }),
    usage: (usage, timings) => ({ ...chunk, choices: [], usage, timings, ...mark(lossy) }),
    body: (choices, usage, timings) => ({
      ...head,
      object: 'chat.completion',
      choices: choices.map(({ text, finishReason }, index) => ({
        index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: null,
        finish_reason: finishReason,
      })),
      usage,
      timings,
      ...mark(lossy),
    }),
  }
}

/** The shapes of `/v1/completions`: `text_completion`, for chunks as for the whole. */
export function completionFormat({ model, includeUsage, lossy }: FormatOptions): Format {
  const head = { id: newId('cmpl'), object: 'text_completion', created: now(), model }
  const ordinary = (index: number, text: string, reason: WireFinishReason | null) => ({
    ...head,
    choices: [{ text, index, logprobs: null, finish_reason: reason }],
    ...(includeUsage ? { usage: null } : {}),
  })
  return {
    opening: () => undefined,
    delta: (index, text) => ordinary(index, text, null),
    provisional: (index, event) => provisionalChunk(head, { index, ...event }, includeUsage),
    finish: (index, reason) => ({ ...ordinary(index, '', reason), ...mark(lossy) }),
    usage: (usage, timings) => ({ ...head, choices: [], usage, timings, ...mark(lossy) }),
    body: (choices, usage, timings) => ({
      ...head,
      choices: choices.map(({ text, finishReason }, index) => ({
        text,
        index,
        logprobs: null,
        finish_reason: finishReason,
      })),
      usage,
      timings,
      ...mark(lossy),
    }),
  }
}

/** Absent from every answer that is exactly the full model's. */
function mark(lossy: boolean): { lossy?: true } {
  return lossy ? { lossy } : {}
}

function provisionalChunk(
  head: object,
  provisional: WireProvisional & { index: number },
  includeUsage: boolean,
): object {
  return { ...head, choices: [], provisional, ...(includeUsage ? { usage: null } : {}) }
}

function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll('-', '')}`
}

/** Unix time in seconds. */
function now(): number {
  return Math.floor(Date.now() / 1000)
}
