import { setImmediate as nextTurn } from 'node:timers/promises'
import { type GenerateEvent, IncipitError, type TokenLogprobs } from '@incipit/engine/api'
import type { Format, WireEnd } from './format.ts'
import type { Part } from './reply/part.ts'
import { type ReplyEnd, type ReplyEvent, readReply } from './reply/read-reply.ts'
import { wholeReply } from './reply/whole-reply.ts'
import type { RequestPlan } from './request-plan.ts'
import type { ServedEngine, ServedReply } from './served-engine.ts'
import type { EventStream } from './sse.ts'
import { type Account, timingsOf, usageOf } from './wire.ts'

type Events = AsyncIterable<GenerateEvent>

/**
 * Starts all choices of a plan. Returns when the engine has had the opportunity to refuse each of them, and long before
 * the first token: an error that is found in the request itself is thrown here, while the answer can still have a status.
 *
 * @param signal aborting it cancels every choice
 * @throws IncipitError `invalid_request`, `context_overflow`, `chat_template`, `closed`
 */
export async function start(
  engine: ServedEngine,
  plan: Pick<RequestPlan, 'choices'>,
  signal: AbortSignal,
): Promise<Events[]> {
  const begun = plan.choices.map((choice) => {
    const reply = engine.generate({ ...choice, signal })
    const iterator = reply[Symbol.asyncIterator]()
    const first = iterator.next()
    // It is awaited below or in `resume`, unless another choice fails before: then nobody waits for it any more.
    first.catch(() => {})
    return { iterator, first, taken: taken(reply) }
  })
  await Promise.race([Promise.all(begun.map(({ first }) => first)), Promise.all(begun.map(({ taken }) => taken))])
  return begun.map(({ iterator, first }) => resume(iterator, first))
}

/** Waits until the engine has had the opportunity to refuse a reply. Why it did is told to those who read it. */
async function taken({ accepted }: ServedReply): Promise<void> {
  await accepted?.catch(() => {})
  await nextTurn()
}

/** The rest of an iterator whose first result was already asked for. */
async function* resume(
  iterator: AsyncIterator<GenerateEvent>,
  first: Promise<IteratorResult<GenerateEvent>>,
): AsyncGenerator<GenerateEvent> {
  try {
    for (let result = await first; !result.done; result = await iterator.next()) yield result.value
  } finally {
    await iterator.return?.()
  }
}

/** Tells started choices to a client as they come, interleaved; ends with usage where asked for, not with `[DONE]`. */
export async function tell(
  choices: readonly Events[],
  plan: RequestPlan,
  format: Format,
  stream: EventStream,
): Promise<void> {
  const accounts = await Promise.all(
    choices.map((events, index) => tellChoice(readReply(events, plan.shape), index, plan, format, stream)),
  )
  if (plan.includeUsage) await stream.send(format.usage(usageOf(accounts, plan.n), timingsOf(accounts)))
}

async function tellChoice(
  events: AsyncIterable<ReplyEvent>,
  index: number,
  { echo }: RequestPlan,
  format: Format,
  stream: EventStream,
): Promise<Account> {
  const opening = format.opening(index)
  if (opening) await stream.send(opening)
  const choice = format.choice(index)
  const say = async (part: Part, logprobs?: readonly TokenLogprobs[]) => {
    const chunk = choice.part(part, logprobs)
    if (chunk) await stream.send(chunk)
  }
  if (echo) await say({ type: 'content', text: echo[index]! })
  let logprobs: readonly TokenLogprobs[] | undefined
  for await (const event of events) {
    if (event.type === 'logprobs') logprobs = [...(logprobs ?? []), ...event.logprobs]
    else if (event.type === 'part') {
      await say(event.part, logprobs)
      logprobs = undefined
    } else if (event.type === 'provisional') await stream.send(format.provisional(index, event.provisional))
    else if (event.type === 'progress') await stream.send(format.progress(index, event.progress))
    else {
      await stream.send(format.finish(index, endOf(event.end)))
      return event.account
    }
  }
  return unfinished()
}

/** Waits for all choices and returns the whole answer. */
export async function collect(choices: readonly Events[], plan: RequestPlan, format: Format): Promise<object> {
  const whole = await Promise.all(choices.map((events) => wholeReply(readReply(events, plan.shape))))
  const told = whole.map((reply, index) => ({
    ...reply,
    content: (plan.echo?.[index] ?? '') + reply.content,
    end: endOf(reply.end),
  }))
  const accounts = whole.map(({ account }) => account)
  return format.body(told, usageOf(accounts, plan.n), timingsOf(accounts))
}

// A client that cancels is gone, and its signal has ended the loop before. If somebody is still there to be told, the
// engine's owner did it.
export function endOf(end: ReplyEnd): WireEnd {
  if (end !== 'cancelled') return end
  throw new IncipitError('cancelled', 'the reply was cancelled before it was complete')
}

function unfinished(): never {
  throw new Error('the generation ended without a done event')
}
