import type { ChatMessage, GenerateRequest, Generation, InputOptions } from '@incipit/engine/api'
import type { ServedInput } from '../src/served-engine.ts'
import { type FakeEngine, fakeEngine } from './fake-engine.ts'

type Script = Parameters<typeof fakeEngine>[0]

/** A fake engine with open inputs: each answers from the script and counts what is left open. */
export interface FakeRealtimeEngine extends FakeEngine {
  open(options: InputOptions): ServedInput
  /** Inputs that were opened, with their options. */
  readonly inputs: { options: InputOptions; closed: boolean }[]
  /** Generations that have begun and not ended. */
  readonly generating: () => number
}

export function fakeRealtimeEngine(script: Script): FakeRealtimeEngine {
  const inputs: FakeRealtimeEngine['inputs'] = []
  let generating = 0
  const counted: Script = async function* (request, index) {
    generating++
    try {
      yield* script(request, index)
    } finally {
      generating--
    }
  }
  const engine = fakeEngine(counted)
  return {
    ...engine,
    inputs,
    generating: () => generating,
    open(options) {
      const record = { options, closed: false }
      inputs.push(record)
      return fakeInput(engine, record)
    },
  }
}

function fakeInput(engine: FakeEngine, record: FakeRealtimeEngine['inputs'][number]): ServedInput {
  const rev = 0
  let text = ''
  let messages: ChatMessage[] = [...(record.options.messages ?? [])]
  return {
    rev,
    get text() {
      return text
    },
    get messages() {
      return messages
    },
    configure(options) {
      record.options = { ...record.options, ...options }
      if (options.messages) messages = [...options.messages]
    },
    append(more) {
      text += more
    },
    replace(base, next) {
      text = text.slice(0, base) + next
    },
    clear() {
      text = ''
    },
    commit() {
      const message = { role: 'user', content: text }
      messages.push(message)
      text = ''
      return message
    },
    revise(next) {
      text = next
    },
    respond(request: Partial<GenerateRequest> = {}): Generation {
      const events = engine.generate({ messages, ...request })
      const cancelled = Promise.withResolvers<IteratorReturnResult<undefined>>()
      return {
        accepted: Promise.resolve(),
        cancel: () => cancelled.resolve({ done: true, value: undefined }),
        [Symbol.asyncIterator]() {
          const iterator = events[Symbol.asyncIterator]()
          return {
            async next() {
              const result = await Promise.race([cancelled.promise, iterator.next()])
              if (result.done) await iterator.return?.()
              return result
            },
            return: async () => ({ done: true, value: await iterator.return?.() }),
          }
        },
      }
    },
    close() {
      record.closed = true
    },
  }
}
