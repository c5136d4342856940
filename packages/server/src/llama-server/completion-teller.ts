import type { GenerateEvent, TokenLogprob, TokenLogprobs } from '@incipit/engine/api'
import type { Teller } from '../answer.ts'
import { endOf } from '../choices.ts'
import { type ReplyEvent, readReply } from '../reply/read-reply.ts'
import { EventStream } from '../sse.ts'
import { type Account, timingsOf, type WireProgress } from '../wire.ts'
import { llamaServerError } from './errors.ts'
import { selected } from './response-fields.ts'

export interface CompletionOptions {
  model: string
  settings: object
  /** Of every choice, as text. */
  prompts: readonly string[]
  /** Several prompts, or several choices, make a list of answers. */
  isList: boolean
  returnsTokens: boolean
  showsProbabilities: boolean
  /** What an answer has; undefined: everything. */
  fields: readonly string[] | undefined
}

type Done = Extract<ReplyEvent, { type: 'done' }>
/** What ended a reply. */
type Ending = { readonly stopType: 'eos' | 'word' | 'limit'; readonly word: string; readonly truncated: boolean }

/** The answers of `/completion` and `/infill`. */
export function completionTeller(options: CompletionOptions): Teller<EventStream> {
  return {
    async whole(replies) {
      const answers = await Promise.all(replies.map((events, index) => wholeAnswer(events, index, options)))
      return options.isList ? answers : answers[0]!
    },
    open: (...of) => new EventStream(...of),
    async tell(replies, stream) {
      await Promise.all(replies.map((events, index) => tellReply(events, index, options, stream)))
      stream.end()
    },
    fail: (stream, error) => stream.fail(llamaServerError(error).body),
  }
}

async function wholeAnswer(events: AsyncIterable<GenerateEvent>, index: number, options: CompletionOptions) {
  let content = ''
  const logprobs: TokenLogprobs[] = []
  for await (const event of readReply(events, {})) {
    if (event.type === 'logprobs') logprobs.push(...event.logprobs)
    else if (event.type === 'part' && event.part.type === 'content') content += event.part.text
    else if (event.type === 'done') return lastAnswer(index, content, logprobs, content.includes('\n'), event, options)
  }
  throw new Error('the generation ended without a done event')
}

async function tellReply(
  events: AsyncIterable<GenerateEvent>,
  index: number,
  options: CompletionOptions,
  stream: EventStream,
): Promise<void> {
  let logprobs: TokenLogprobs[] = []
  let hasNewLine = false
  for await (const event of readReply(events, {})) {
    if (event.type === 'logprobs') logprobs.push(...event.logprobs)
    else if (event.type === 'part' && event.part.type === 'content') {
      const { text } = event.part
      hasNewLine ||= text.includes('\n')
      await stream.send({ index, content: text, ...tokensOf(logprobs, options), stop: false, id_slot: -1 })
      logprobs = []
    } else if (event.type === 'progress') await stream.send(progressAnswer(index, event.progress))
    else if (event.type === 'done') {
      await stream.send(lastAnswer(index, '', logprobs, hasNewLine, event, options))
    }
  }
}

/** An event without text that says how much of the prompt is computed. */
export function progressAnswer(index: number, progress: WireProgress): object {
  return { index, content: '', tokens: [], stop: false, id_slot: -1, prompt_progress: progress }
}

function lastAnswer(
  index: number,
  content: string,
  logprobs: readonly TokenLogprobs[],
  hasNewLine: boolean,
  { account, event, end }: Done,
  options: CompletionOptions,
): object {
  const ending: Ending =
    endOf(end) === 'length'
      ? { stopType: 'limit', word: '', truncated: event.finishReason === 'context' }
      : { stopType: event.stopString === undefined ? 'eos' : 'word', word: event.stopString ?? '', truncated: false }
  return answerOf(index, { content, hasNewLine, ...tokensOf(logprobs, options) }, ending, account, options)
}

/** A whole answer, or the last event of a stream. */
function answerOf(
  index: number,
  { hasNewLine, ...said }: { content: string; hasNewLine: boolean; tokens: readonly number[] },
  { stopType, word, truncated }: Ending,
  account: Account,
  { model, settings, prompts, fields }: CompletionOptions,
): object {
  const { usage } = account
  const answer = {
    index,
    ...said,
    id_slot: -1,
    stop: true,
    model,
    tokens_predicted: usage.completionTokens,
    tokens_evaluated: usage.promptTokens,
    generation_settings: settings,
    prompt: prompts[index] ?? '',
    has_new_line: hasNewLine,
    truncated,
    stop_type: stopType,
    stopping_word: word,
    tokens_cached: usage.cachedTokens,
    timings: speedOf(account),
  }
  return fields === undefined || fields.length === 0 ? answer : selected(answer, fields)
}

function speedOf(account: Account): object {
  const { cache_n, prompt_n, prompt_ms, queue_ms, predicted_n, committed_ms, predicted_ms } = timingsOf([account])
  const begun = prompt_ms ?? queue_ms
  const prompt = begun - queue_ms
  const predicted = committed_ms === null ? 0 : committed_ms + predicted_ms - begun
  const rates = (name: string, n: number, ms: number) => ({
    [`${name}_n`]: n,
    [`${name}_ms`]: ms,
    [`${name}_per_token_ms`]: n === 0 ? 0 : ms / n,
    [`${name}_per_second`]: ms === 0 ? 0 : (1000 * n) / ms,
  })
  return { cache_n, ...rates('prompt', prompt_n, prompt), ...rates('predicted', predicted_n, predicted) }
}

function tokensOf(logprobs: readonly TokenLogprobs[], { returnsTokens, showsProbabilities }: CompletionOptions) {
  return {
    tokens: returnsTokens ? logprobs.map(({ token }) => token) : [],
    ...(showsProbabilities && logprobs.length > 0 && { completion_probabilities: logprobs.map(probabilitiesOf) }),
  }
}

const decoder = new TextDecoder()

function probabilitiesOf(token: TokenLogprobs): object {
  const told = ({ token: id, bytes, logprob }: TokenLogprob) => ({
    id,
    token: decoder.decode(Uint8Array.from(bytes)),
    bytes,
    // JSON has no infinity.
    logprob: Math.max(-9999, logprob),
  })
  return { ...told(token), top_logprobs: token.top.map(told) }
}
