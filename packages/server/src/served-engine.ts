import type { EngineApi, GenerateEvent, GenerateRequest, Generation, InputApi, InputOptions } from '@incipit/engine/api'
import { ServerError } from './errors.ts'

/** What the server needs of an engine, wherever that runs. One without `open` or `prefill` has no streaming input. */
export interface ServedEngine
  extends Pick<EngineApi, 'info'>,
    Partial<
      Pick<
        EngineApi,
        | 'failure'
        | 'prefill'
        | 'renderChat'
        | 'tokenize'
        | 'detokenize'
        | 'tokenBytes'
        | 'stats'
        | 'costProfile'
        | 'watch'
      >
    > {
  generate(request: GenerateRequest): ServedReply
  open?(options: InputOptions): ServedInput
}

/** A reply; one that does not say when it is accepted is accepted, or throws, by the next turn of the event loop. */
export type ServedReply = AsyncIterable<GenerateEvent> & Partial<Pick<Generation, 'accepted'>>

/** The same reply with other events. */
export function withAccepted(events: AsyncIterable<GenerateEvent>, { accepted }: ServedReply): ServedReply {
  return Object.assign(events, accepted && { accepted })
}

/** What the server needs of an input that is still open. */
export type ServedInput = Omit<InputApi, 'add' | typeof Symbol.dispose>

/**
 * What an engine need not have, and a request wants.
 *
 * @throws ServerError `unsupported`
 */
export function needed<F>(method: F | undefined, what: string): F {
  if (method === undefined) throw new ServerError('unsupported', `this server cannot ${what}`)
  return method
}
