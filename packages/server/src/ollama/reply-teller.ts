import type { GenerateEvent, Timings, TokenLogprob, TokenLogprobs, Usage } from '@incipit/engine/api'
import type { Teller } from '../answer.ts'
import { endOf } from '../choices.ts'
import { type ReplyEvent, readReply } from '../reply/read-reply.ts'
import { type WholeReply, wholeReply } from '../reply/whole-reply.ts'
import type { RequestPlan } from '../request-plan.ts'
import type { WireProgress } from '../wire.ts'
import { ollamaError } from './errors.ts'
import { LineStream } from './line-stream.ts'

/** A reply, or what of it is told at once. */
type Said = Partial<Pick<WholeReply, 'content' | 'reasoning' | 'calls'>>

/** How an endpoint spells what is said. */
export type Spelling = (said: Said) => object

export const chatSpelling: Spelling = ({ content = '', reasoning, calls = [] }) => ({
  message: {
    role: 'assistant',
    content,
    ...(reasoning && { thinking: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, arguments: json }, index) => ({
        id,
        function: { index, name, arguments: JSON.parse(json) },
      })),
    }),
  },
})

export const generateSpelling: Spelling = ({ content = '', reasoning }) => ({
  response: content,
  ...(reasoning && { thinking: reasoning }),
})

/** The answers of `/api/chat` and `/api/generate`. */
export function replyTeller(model: string, shape: RequestPlan['shape'], spell: Spelling): Teller<LineStream> {
  const begun = performance.now()
  const read = (choices: readonly AsyncIterable<GenerateEvent>[]) => readReply(choices[0]!, shape)
  const head = () => ({ model, created_at: new Date().toISOString() })
  const piece = (said: Said, logprobs: readonly TokenLogprobs[]) => ({
    ...head(),
    ...spell(said),
    done: false,
    ...(logprobs.length > 0 && { logprobs: logprobs.map(logprobsOf) }),
  })
  return {
    async whole(choices) {
      const reply = await wholeReply(read(choices))
      const { logprobs, account, end } = reply
      return {
        ...head(),
        ...spell(reply),
        done: true,
        done_reason: doneReason(end),
        ...(logprobs.length > 0 && { logprobs: logprobs.map(logprobsOf) }),
        ...statistics(account.usage, account.timings, performance.now() - begun),
      }
    },
    open: (...of) => new LineStream(...of),
    async tell(choices, stream) {
      let logprobs: TokenLogprobs[] = []
      const say = async (said: Said) => {
        await stream.send(piece(said, logprobs))
        logprobs = []
      }
      let call = { id: '', name: '', arguments: '' }
      for await (const event of read(choices)) {
        if (event.type === 'logprobs') logprobs.push(...event.logprobs)
        else if (event.type === 'progress') await stream.send(progressLine(model, spell, event.progress))
        else if (event.type === 'done') {
          const { usage, timings } = event.account
          const last = { ...head(), ...spell({}), done: true, done_reason: doneReason(event.end) }
          stream.close({ ...last, ...statistics(usage, timings, performance.now() - begun) })
        } else if (event.type === 'part') {
          const { part } = event
          if (part.type === 'content') await say({ content: part.text })
          else if (part.type === 'reasoning') await say({ reasoning: part.text })
          else if (part.type === 'call') call = { ...part, arguments: '' }
          else if (part.type === 'arguments') call.arguments += part.text
          // Its clients know whole calls only.
          else await say({ calls: [call] })
        }
      }
    },
    fail: (stream, error) => stream.close(ollamaError(error).body),
  }
}

/** An object that says nothing but how much of the prompt is computed. */
export function progressLine(model: string, spell: Spelling, progress: WireProgress): object {
  return { model, created_at: new Date().toISOString(), ...spell({}), done: false, prompt_progress: progress }
}

/** A reply that calls tools stops, too. */
function doneReason(end: Extract<ReplyEvent, { type: 'done' }>['end']): string {
  return endOf(end) === 'length' ? 'length' : 'stop'
}

const nanoseconds = (milliseconds: number) => Math.max(0, Math.round(milliseconds * 1e6))

/** @param total milliseconds */
function statistics(usage: Usage, { queueMs, promptMs, committedMs, predictedMs }: Timings, total: number) {
  const prompt = promptMs ?? queueMs
  return {
    total_duration: nanoseconds(total),
    load_duration: 0,
    prompt_eval_count: usage.promptTokens,
    prompt_eval_duration: nanoseconds(prompt - queueMs),
    eval_count: usage.completionTokens,
    eval_duration: nanoseconds(committedMs === null ? 0 : committedMs + predictedMs - prompt),
  }
}

const decoder = new TextDecoder()

function logprobsOf(token: TokenLogprobs) {
  const told = ({ bytes, logprob }: TokenLogprob) => ({
    token: decoder.decode(Uint8Array.from(bytes)),
    // JSON has no infinity.
    logprob: Math.max(-9999, logprob),
    bytes,
  })
  return { ...told(token), ...(token.top.length > 0 && { top_logprobs: token.top.map(told) }) }
}
