import type { PromptToken, TokenLogprobs } from '@incipit/engine/api'
import type { Account } from '../wire.ts'
import type { ReplyEnd, ReplyEvent } from './read-reply.ts'

interface WholeCall {
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
}

/** A reply that is over. */
export interface WholeReply {
  /** Where the request asks for log-probabilities of the prompt. */
  readonly prompt: readonly PromptToken[]
  readonly content: string
  readonly reasoning: string
  /** Those that are whole: one that was cut off is not told. */
  readonly calls: readonly WholeCall[]
  readonly logprobs: readonly TokenLogprobs[]
  readonly end: ReplyEnd
  readonly stopString: string | undefined
  readonly account: Account
}

/** @throws what the events throw */
export async function wholeReply(events: AsyncIterable<ReplyEvent>): Promise<WholeReply> {
  const prompt: PromptToken[] = []
  let content = ''
  let reasoning = ''
  const calls: WholeCall[] = []
  const logprobs: TokenLogprobs[] = []
  let call: { id: string; name: string; arguments: string } | undefined
  for await (const event of events) {
    if (event.type === 'prompt') prompt.push(...event.tokens)
    if (event.type === 'logprobs') logprobs.push(...event.logprobs)
    if (event.type === 'done') {
      const { end, account } = event
      return { prompt, content, reasoning, calls, logprobs, end, stopString: event.event.stopString, account }
    }
    if (event.type !== 'part') continue
    const { part } = event
    if (part.type === 'content') content += part.text
    else if (part.type === 'reasoning') reasoning += part.text
    else if (part.type === 'call') call = { id: part.id, name: part.name, arguments: '' }
    else if (part.type === 'arguments') call!.arguments += part.text
    else calls.push(call!)
  }
  throw new Error('the generation ended without a done event')
}
