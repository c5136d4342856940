import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import fc from 'fast-check'
import { createServer, type ModelDirectory, type ServedEngine, type ServerOptions } from '../src/index.ts'

// A smaller counterexample costs a real server another run for each attempt, minutes in all. The failure names seed and
// path, which repeat it.
fc.configureGlobal({ endOnFailure: true })

/** A listening server and the shortest ways to talk to it. */
export interface Served {
  /** Without a path, e.g. `http://127.0.0.1:40123`. */
  url: string
  port: number
  get(path: string, init?: RequestInit): Promise<Response>
  /** Posts JSON; a string is sent as it is. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>
  close(): Promise<void>
}

/** Starts a server on a free port of 127.0.0.1 and closes it after the test. */
export async function serve(
  test: Pick<TestContext, 'after'>,
  engine: ServedEngine | ModelDirectory,
  options?: ServerOptions,
): Promise<Served> {
  const app = createServer(engine, options)
  await app.listen({ host: '127.0.0.1', port: 0 })
  test.after(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    port,
    get: (path, init) => fetch(url + path, init),
    post: (path, body, init) =>
      fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
      }),
    close: async () => {
      await app.close()
    },
  }
}

/** The parts of chunks and bodies that the tests look at. */
export interface Chunk {
  id: string
  object: string
  created: number
  model: string
  choices: {
    index: number
    text?: string
    delta?: { role?: string; content?: string }
    message?: { role: string; content: string }
    finish_reason: string | null
  }[]
  provisional?: {
    index: number
    rev: number
    base: number
    text: string
    tokens: number
    stability: number
    source: string
    reason?: string
  }
  usage?: null | Record<string, unknown>
  timings?: Record<string, number | null>
  lossy?: boolean
  error?: { message: string; type: string; param: string | null; code: string }
}

/** The `data:` payloads of an event stream, parsed; the closing marker stays a string. */
export async function* events(response: Response): AsyncGenerator<Chunk | '[DONE]'> {
  let rest = ''
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + piece).split('\n\n')
    rest = blocks.pop()!
    for (const block of blocks) {
      if (!block.startsWith('data: ') || block.includes('\n')) throw new Error(`not one data line: ${block}`)
      const data = block.slice('data: '.length)
      yield data === '[DONE]' ? data : (JSON.parse(data) as Chunk)
    }
  }
  if (rest !== '') throw new Error(`the stream ends inside an event: ${rest}`)
}

/** All chunks of a stream that is expected to end with `[DONE]`. */
export async function chunks(response: Response): Promise<Chunk[]> {
  const all = await Array.fromAsync(events(response))
  if (all.pop() !== '[DONE]') throw new Error('the stream does not end with [DONE]')
  return all.map((event) => {
    if (event === '[DONE]') throw new Error('[DONE] in the middle of the stream')
    return event
  })
}

/** The committed text of one choice. */
export function committed(all: readonly Chunk[], index = 0): string {
  return all
    .flatMap((chunk) => chunk.choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta?.content ?? choice.text ?? '')
    .join('')
}
