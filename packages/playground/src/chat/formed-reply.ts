import { type Message, type RealtimeReply, type ReplyDone, RevisableText, streamChat } from '@incipit/client'
import { chosenModel, headers, session } from '../settings.ts'

/** A reply that is made over HTTP. */
interface FormedReply extends RealtimeReply {
  /** The server has said something: what was read of the message before is taken over. */
  readonly begun: Promise<void>
}

/** Asks for a reply of some form, or with tools: sockets have neither. */
export function askFormed(messages: readonly Message[], form: Record<string, unknown>): FormedReply {
  const text = new RevisableText()
  const begun = Promise.withResolvers<void>()
  const controller = new AbortController()
  const run = async (): Promise<ReplyDone> => {
    const options = { headers: headers.peek(), signal: controller.signal }
    let done: ReplyDone = { type: 'done', finishReason: null }
    try {
      for await (const event of streamChat('/v1/chat/completions', bodyOf(messages, form), options)) {
        begun.resolve()
        text.apply(event)
        if (event.type === 'done') done = event
      }
    } catch (error) {
      text.apply(done)
      if (!controller.signal.aborted) throw error
      done = { ...done, finishReason: 'cancelled' }
    } finally {
      begun.resolve()
    }
    return done
  }
  return { text, begun: begun.promise, done: run(), cancel: () => controller.abort() }
}

function bodyOf(messages: readonly Message[], form: Record<string, unknown>): Record<string, unknown> {
  const { instructions, max_output_tokens, provisional, speculate: _, min_stability, ...shared } = session.peek()
  const model = chosenModel.peek()
  return {
    ...shared,
    ...(shared.policy === 'confident' && { min_stability }),
    ...(model !== '' && { model }),
    ...form,
    messages: instructions === null ? messages : [{ role: 'system', content: instructions }, ...messages],
    // After a result, it is to be used.
    ...(messages.at(-1)?.role === 'tool' && form.tools !== undefined && { tool_choice: 'auto' }),
    max_tokens: max_output_tokens,
    stream_options: { include_usage: true, ...(provisional && { include_provisional: true, min_stability }) },
  }
}
