import { z } from 'zod'

/** Whose protocol a route belongs to. */
export type Dialect = 'openai' | 'anthropic' | 'ollama' | 'llama-server' | 'incipit'

/** What a route does and takes. It is written down where the route is added, and `/openapi.json` is made of all of them. */
export interface Operation<Input = unknown> {
  /** Unique among all. */
  readonly id: string
  readonly summary: string
  readonly dialect: Dialect
  /** The body of a POST, the query of others. A request is checked against exactly this. */
  readonly input: z.ZodType<Input>
  /** What it works with, which says how it can fail. Default: with nothing that can. */
  readonly uses?: 'model' | 'reply' | 'response' | 'kept responses' | undefined
  /**
   * What a good answer looks like, by its media type, the usual one first: of a stream, the data of an event, or a line. None
   * where there is no good answer.
   */
  readonly answers: Readonly<Record<string, z.ZodType>>
  /** It is the beginning of a WebSocket. */
  readonly socket?: true
}

declare module 'fastify' {
  interface FastifyContextConfig {
    operation?: Operation
  }
}

/** The input of an operation that takes none. */
export const nothing = z.object({})

/** An answer that does not stream. */
export function json(answer: z.ZodType) {
  return { 'application/json': answer }
}

/** Answers that stream where a request asks for it. */
export function jsonOrEvents(answer: z.ZodType, event: z.ZodType) {
  return { ...json(answer), 'text/event-stream': event }
}
