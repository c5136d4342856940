import { setImmediate as nextTurn } from 'node:timers/promises'
import { type GenerateEvent, IncipitError, type PromptToken, type TokenLogprobs } from '@incipit/engine/api'
import type { Format, WireEnd } from './format.ts'
import { promptLogprobs } from './prompt-logprobs.ts'
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

/**
 * Tells started choices to a client as they come, interleaved; ends with usage where asked for, not with `[DONE]`.
 *
 * @param echo per choice, the text of the prompt in front of it
 */
export async function tell(
  choices: readonly Events[],
  plan: RequestPlan,
  echo: readonly string[] | undefined,
  format: Format,
  stream: EventStream,
): Promise<void> {
  const accounts = await Promise.all(
    choices.map((events, index) =>
      tellChoice(readReply(events, plan.shape), index, plan, echo?.[index], format, stream),
    ),
  )
  if (plan.includeUsage) await stream.send(format.usage(usageOf(accounts, plan.n), timingsOf(accounts)))
}

async function tellChoice(
  events: AsyncIterable<ReplyEvent>,
  index: number,
  plan: RequestPlan,
  text: string | undefined,
  format: Format,
  stream: EventStream,
): Promise<Account> {
  const opening = format.opening(index)
  if (opening) await stream.send(opening)
  const choice = format.choice(index)
  const send = async (chunk: object | undefined) => {
    if (chunk) await stream.send(chunk)
  }
  const prompt: PromptToken[] = []
  let echoed = text === undefined
  const echo = async () => {
    if (echoed) return
    echoed = true
    await send(choice.echo(echoOf(text!, prompt, plan)))
  }
  if (plan.promptLogprobs.echoed === undefined) await echo()
  let logprobs: TokenLogprobs[] | undefined
  for await (const event of events) {
    if (event.type === 'prompt') {
      prompt.push(...event.tokens)
      continue
    }
    await echo()
    if (event.type === 'logprobs') logprobs = [...(logprobs ?? []), ...event.logprobs]
    else if (event.type === 'part') {
      await send(choice.part(event.part, logprobs))
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

/** Waits for all choices and returns the whole answer; `echo` as in `tell`. */
export async function collect(
  choices: readonly Events[],
  plan: RequestPlan,
  echo: readonly string[] | undefined,
  format: Format,
): Promise<object> {
  const whole = await Promise.all(choices.map((events) => wholeReply(readReply(events, plan.shape))))
  const { apart } = plan.promptLogprobs
  const told = whole.map(({ prompt, ...reply }, index) => ({
    ...reply,
    echo: echo && echoOf(echo[index]!, prompt, plan),
    promptLogprobs: apart === undefined ? undefined : promptLogprobs(prompt, apart),
    end: endOf(reply.end),
  }))
  const accounts = whole.map(({ account }) => account)
  return format.body(told, usageOf(accounts, plan.n), timingsOf(accounts))
}

/** The prompt in front of a reply; of its tokens more may have been told than stand there. */
function echoOf(text: string, prompt: readonly PromptToken[], { promptLogprobs: { echoed } }: RequestPlan) {
  const tokens =
    echoed === undefined ? undefined : prompt.map(({ top, ...own }) => ({ ...own, top: top.slice(0, echoed) }))
  return { text, tokens }
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
