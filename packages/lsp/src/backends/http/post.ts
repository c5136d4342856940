import { parseServerSentEvents } from '@incipit/client'
import { IncipitError } from '@incipit/engine/api'
import { record } from '../../record.ts'

/** A server that is asked for completions. */
export interface Server {
  /** Without a path or a closing slash. */
  readonly url: string
  readonly key: string | undefined
}

/** A server refused a request, or gave no answer that can be read. */
export class ServerFailure extends IncipitError {
  /** HTTP status of the answer. */
  readonly answered: number

  constructor(answered: number, message: string) {
    super('backend_failed', message)
    this.name = 'ServerFailure'
    this.answered = answered
  }
}

/**
 * Posts JSON.
 * @throws ServerFailure with what the server said; whatever `fetch` throws when it cannot be reached
 */
export async function post(server: Server, path: string, body: object, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization(server) },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  })
  if (!response.ok) throw new ServerFailure(response.status, messageIn(await response.text(), response.status))
  return response
}

/** The parsed JSON of a resource, or undefined where there is none. */
export async function get(server: Server, path: string): Promise<unknown> {
  const signal = AbortSignal.timeout(5000)
  const response = await fetch(server.url + path, { headers: authorization(server), signal })
  if (!response.ok) {
    await response.body?.cancel()
    return undefined
  }
  return response.json().catch(() => undefined)
}

/** The objects of a stream of server-sent events, until its end or `[DONE]`. */
export async function* streamed(response: Response): AsyncGenerator<Record<string, unknown>> {
  if (!response.body) return
  for await (const data of parseServerSentEvents(response.body)) {
    if (data === '[DONE]') return
    const value: unknown = JSON.parse(data)
    const event = record(value)
    if (event.error !== undefined) throw new ServerFailure(500, messageIn(data, 500))
    yield event
  }
}

function authorization({ key }: Server): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` }
}

function messageIn(text: string, status: number): string {
  try {
    const { error } = record(JSON.parse(text))
    const message = typeof error === 'string' ? error : record(error).message
    if (typeof message === 'string') return message
  } catch {
    // Not JSON: a proxy's page, say.
  }
  return `the server answered ${status}`
}
