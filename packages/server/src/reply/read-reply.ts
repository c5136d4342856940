import type { DoneEvent, GenerateEvent, TokenLogprobs } from '@incipit/engine/api'
import { ChannelParser } from '../channels/channel-parser.ts'
import { type Account, provisionalOf, type WireProvisional } from '../wire.ts'
import type { Part, PartReader } from './part.ts'
import { ReplyParser } from './reply-parser.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Why a reply is over. A full context is a length limit too. `cancelled`: by the owner of the engine. */
export type ReplyEnd = 'stop' | 'length' | 'tool_calls' | 'cancelled'

/** A reply as the dialects tell it, from its engine's events. */
export type ReplyEvent =
  | { readonly type: 'part'; readonly part: Part }
  /** Of the tokens of the parts that follow, where the request asks for them. */
  | { readonly type: 'logprobs'; readonly logprobs: readonly TokenLogprobs[] }
  /** What the content may go on with: offsets count content alone. */
  | { readonly type: 'provisional'; readonly provisional: WireProvisional }
  | {
      readonly type: 'done'
      readonly end: ReplyEnd
      readonly account: Account
      /** Of the reply's tokens, those in which the model thought. */
      readonly reasoningTokens: number
      readonly event: DoneEvent
    }

/** @throws what the events throw */
export async function* readReply(events: AsyncIterable<GenerateEvent>, shape: ReplyShape): AsyncGenerator<ReplyEvent> {
  const parser = readerOf(shape)
  let content = 0
  let revision = 0
  /** Something is shown that may have to be taken back. */
  let shown = false
  let openCall = false
  let calls = 0
  let reasoningTokens = 0
  const told = (part: Part): ReplyEvent => {
    if (part.type === 'content') content += part.text.length
    if (part.type === 'call') openCall = true
    if (part.type === 'call_end') {
      openCall = false
      calls++
    }
    return { type: 'part', part }
  }
  for await (const event of events) {
    if (event.type === 'delta') {
      if (event.logprobs) yield { type: 'logprobs', logprobs: event.logprobs }
      const thought = parser.inReasoning
      const parts = parser.feed(event.text)
      if (thought || parser.inReasoning) reasoningTokens += event.tokens
      for (const part of parts) yield told(part)
    } else if (event.type === 'provisional') {
      const text = parser.inContent ? contentOf(parser.clone().feed(event.text)) : ''
      if (text === '' && !shown) continue
      shown = text !== ''
      revision++
      const tokens = shown ? event.tokens : 0
      yield {
        type: 'provisional',
        provisional: { ...provisionalOf(event), rev: revision, base: content, text, tokens },
      }
    } else {
      for (const part of parser.end()) yield told(part)
      const { finishReason, usage, timings } = event
      const account = { usage, timings }
      const end = finishReason === 'context' ? 'length' : finishReason
      const called = end === 'stop' && calls > 0 && !openCall
      yield { type: 'done', end: called ? 'tool_calls' : end, account, reasoningTokens, event }
      return
    }
  }
  throw new Error('the generation ended without a done event')
}

/** The content that a reply of this shape begins with, as far as what it begins with is known. */
export function beginningContent(text: string, shape: ReplyShape): string {
  return contentOf(readerOf(shape).feed(text))
}

function readerOf(shape: ReplyShape): PartReader {
  return shape.channels ? new ChannelParser(shape.channels) : new ReplyParser(shape)
}

/** The content that parts begin with, but for what is thought before it. */
function contentOf(parts: readonly Part[]): string {
  const said = parts.filter(({ type }) => type !== 'reasoning')
  const end = said.findIndex(({ type }) => type !== 'content')
  return (end < 0 ? said : said.slice(0, end)).map((part) => ('text' in part ? part.text : '')).join('')
}
