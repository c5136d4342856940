import { randomUUID } from 'node:crypto'
import type { PromptToken, TokenLogprob, TokenLogprobs } from '@incipit/engine/api'
import { echoLogprobs, joined, leastLogprob, replyLogprobs } from './completion-logprobs.ts'
import type { Part } from './reply/part.ts'
import type { ReplyEnd } from './reply/read-reply.ts'
import type { WholeReply } from './reply/whole-reply.ts'
import type { WireProgress, WireProvisional, WireTimings, WireUsage } from './wire.ts'

/** Why a reply is over, as OpenAI says it. */
export type WireEnd = Exclude<ReplyEnd, 'cancelled'>

/** The prompt in front of a reply. */
interface Echo {
  readonly text: string
  /** Where their log-probabilities are wanted. */
  readonly tokens: readonly PromptToken[] | undefined
}

/** A finished choice. */
type Choice = Omit<WholeReply, 'end' | 'prompt'> & {
  readonly end: WireEnd
  readonly echo: Echo | undefined
  /** As vLLM tells them, where they are wanted. */
  readonly promptLogprobs: readonly (object | null)[] | undefined
}

/**
 * How one endpoint spells its answer: the two endpoints differ in nothing else. Every method returns an object ready
 * for `JSON.stringify`.
 */
export interface Format {
  /** The first chunk of a choice, where the endpoint has one. */
  opening(index: number): object | undefined
  /** The chunks of one choice; it is asked for its parts in their order. */
  choice(index: number): ChoiceFormat
  /** A chunk-shaped object without choices, which stock clients pass over. */
  provisional(index: number, event: WireProvisional): object
  /** A chunk without text that says how much of the prompt is computed. */
  progress(index: number, progress: WireProgress): object
  finish(index: number, reason: WireEnd): object
  /** The last chunk, without choices. */
  usage(usage: WireUsage, timings: WireTimings): object
  /** The answer of a request that does not stream. */
  body(choices: readonly Choice[], usage: WireUsage, timings: WireTimings): object
}

interface ChoiceFormat {
  /** Before all parts. Undefined where the endpoint has no echo. */
  echo(echo: Echo): object | undefined
  /** Undefined where the endpoint says nothing of such a part. */
  part(part: Part, logprobs?: readonly TokenLogprobs[]): object | undefined
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
  const ordinary = (index: number, delta: object, reason: WireEnd | null, logprobs?: readonly TokenLogprobs[]) => ({
    ...chunk,
    choices: [{ index, delta, logprobs: logprobs ? chatLogprobs(logprobs) : null, finish_reason: reason }],
    ...(includeUsage ? { usage: null } : {}),
  })
  return {
    opening: (index) => ordinary(index, { role: 'assistant', content: '', refusal: null }, null),
    choice: (index) => {
      let call = -1
      return {
        echo: () => undefined,
        part(part, logprobs) {
          const delta = (delta: object) => ordinary(index, delta, null, logprobs)
          switch (part.type) {
            case 'content':
              return delta({ content: part.text })
            case 'reasoning':
              return delta({ reasoning_content: part.text })
            case 'call': {
              // Its name once, and no piece of its arguments with it: clients put the pieces of both together.
              const { id, name } = part
              return delta({ tool_calls: [{ index: ++call, id, type: 'function', function: { name, arguments: '' } }] })
            }
            case 'arguments':
              return delta({ tool_calls: [{ index: call, function: { arguments: part.text } }] })
            case 'call_end':
              return undefined
          }
        },
      }
    },
    provisional: (index, event) => provisionalChunk(chunk, { index, ...event }, includeUsage),
    progress: (index, progress) => ({
      ...ordinary(index, { role: 'assistant', content: null }, null),
      prompt_progress: progress,
    }),
    finish: (index, reason) => ({ ...ordinary(index, {}, reason), ...mark(lossy) }),
    usage: (usage, timings) => ({ ...chunk, choices: [], usage, timings, ...mark(lossy) }),
    body: (choices, usage, timings) => ({
      ...head,
      object: 'chat.completion',
      choices: choices.map(({ content, reasoning, calls, logprobs, end }, index) => ({
        index,
        message: {
          role: 'assistant',
          // A message that only calls tools has none.
          content: content === '' && calls.length > 0 ? null : content,
          refusal: null,
          ...(reasoning !== '' && { reasoning_content: reasoning }),
          ...(calls.length > 0 && {
            tool_calls: calls.map(({ id, name, arguments: json }) => ({
              id,
              type: 'function',
              function: { name, arguments: json },
            })),
          }),
        },
        logprobs: logprobs.length > 0 ? chatLogprobs(logprobs) : null,
        finish_reason: end,
      })),
      // The choices have one prompt.
      ...(choices[0]?.promptLogprobs && { prompt_logprobs: choices[0].promptLogprobs }),
      usage,
      timings,
      ...mark(lossy),
    }),
  }
}

/** The shapes of `/v1/completions`: `text_completion`, for chunks as for the whole. */
export function completionFormat({ model, includeUsage, lossy }: FormatOptions): Format {
  const head = { id: newId('cmpl'), object: 'text_completion', created: now(), model }
  const ordinary = (index: number, text: string, reason: WireEnd | null, logprobs: object | null = null) => ({
    ...head,
    choices: [{ text, index, logprobs, finish_reason: reason }],
    ...(includeUsage ? { usage: null } : {}),
  })
  return {
    opening: () => undefined,
    choice: (index) => {
      let offset = 0
      return {
        echo({ text, tokens }) {
          offset = text.length
          return ordinary(index, text, null, tokens && echoLogprobs(tokens, text))
        },
        part(part, logprobs) {
          if (part.type !== 'content') return undefined
          const said = logprobs && replyLogprobs(logprobs, offset)
          offset += part.text.length
          return ordinary(index, part.text, null, said)
        },
      }
    },
    provisional: (index, event) => provisionalChunk(head, { index, ...event }, includeUsage),
    progress: (index, progress) => ({ ...ordinary(index, '', null), prompt_progress: progress }),
    finish: (index, reason) => ({ ...ordinary(index, '', reason), ...mark(lossy) }),
    usage: (usage, timings) => ({ ...head, choices: [], usage, timings, ...mark(lossy) }),
    body: (choices, usage, timings) => ({
      ...head,
      choices: choices.map((choice, index) => ({
        text: (choice.echo?.text ?? '') + choice.content,
        index,
        logprobs: wholeLogprobs(choice),
        finish_reason: choice.end,
        ...(choice.promptLogprobs && { prompt_logprobs: choice.promptLogprobs }),
      })),
      usage,
      timings,
      ...mark(lossy),
    }),
  }
}

const decoder = new TextDecoder()

function chatLogprobs(tokens: readonly TokenLogprobs[]): object {
  return { content: tokenLogprobs(tokens), refusal: null }
}

/** Tokens as `/v1/chat/completions` and `/v1/responses` tell them. */
export function tokenLogprobs(tokens: readonly TokenLogprobs[]): object[] {
  const told = ({ bytes, logprob }: TokenLogprob) => ({
    token: decoder.decode(Uint8Array.from(bytes)),
    logprob: Math.max(leastLogprob, logprob),
    bytes,
  })
  return tokens.map((token) => ({ ...told(token), top_logprobs: token.top.map(told) }))
}

/** Of a whole choice, and of the prompt in front of it. */
function wholeLogprobs({ echo, logprobs }: Choice): object | null {
  const reply = logprobs.length > 0 ? replyLogprobs(logprobs, echo?.text.length ?? 0) : undefined
  const prompt = echo?.tokens && echoLogprobs(echo.tokens, echo.text)
  return prompt && reply ? joined(prompt, reply) : (prompt ?? reply ?? null)
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
