import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChatMessage } from '../src/api/request.ts'

/** A server of `/v1/chat/completions` in a process of its own, as its users start it. */
export class ChatServer implements AsyncDisposable {
  readonly name: string
  readonly address: string
  readonly #child: ChildProcess

  /** Use `incipit` or `llamaServer`. */
  constructor(name: string, address: string, child: ChildProcess) {
    this.name = name
    this.address = address
    this.#child = child
  }

  static incipit(model: string, options: ServerOptions): Promise<ChatServer> {
    const main = join(import.meta.dirname, '../../incipit/src/main.ts')
    const args = ['serve', '--model', model, '--cut', 'none']
    return start('incipit', process.execPath, [main, ...args], { ...options, context: '--context' })
  }

  /** @param program the path of llama.cpp's `llama-server` */
  static llamaServer(program: string, model: string, options: ServerOptions): Promise<ChatServer> {
    return start('llama-server', program, ['-m', model], { ...options, context: '--ctx-size' })
  }

  /** A reply of so many tokens, greedy. */
  async reply(messages: readonly ChatMessage[], tokens: number): Promise<ChatReply> {
    const stream = { stream: true, stream_options: { include_usage: true } }
    const body = JSON.stringify({ messages, max_tokens: tokens, temperature: 0, ...stream })
    const begin = performance.now()
    const response = await fetch(`${this.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    if (!response.ok) throw new Error(`${this.name}: ${response.status} ${await response.text()}`)
    let ttft = Number.NaN
    let text = ''
    let rest = ''
    let read = Number.NaN
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        if (!line.startsWith('data: {')) continue
        const { choices, usage } = JSON.parse(line.slice(6)) as Chunk
        if (usage) read = usage.prompt_tokens - (usage.prompt_tokens_details?.cached_tokens ?? 0)
        const content = choices[0]?.delta?.content
        if (!content) continue
        if (text === '') ttft = performance.now() - begin
        text += content
      }
    }
    if (text === '') throw new Error(`${this.name}: a reply without text`)
    return { text, ttft, read }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }
}

export interface ChatReply {
  readonly text: string
  /** When its first text came: milliseconds since the request was sent. */
  readonly ttft: number
  /** Tokens of the prompt that had to be computed. */
  readonly read: number
}

interface Chunk {
  readonly choices: { delta?: { content?: string } }[]
  readonly usage?: { prompt_tokens: number; prompt_tokens_details?: { cached_tokens?: number } } | null
}

interface ServerOptions {
  readonly threads: number
  readonly contextLength: number
}

const startMs = 180_000

async function start(
  name: string,
  program: string,
  args: readonly string[],
  { threads, contextLength, context }: ServerOptions & { readonly context: string },
): Promise<ChatServer> {
  const port = await freePort()
  const all = [...args, '--port', String(port), '--threads', String(threads), context, String(contextLength)]
  const child = spawn(program, all, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (part: string) => {
    said = (said + part).slice(-4000)
  })
  const address = `http://127.0.0.1:${port}`
  for (const end = performance.now() + startMs; performance.now() < end; await sleep(100)) {
    if (child.exitCode !== null) throw new Error(`${name} ended with code ${child.exitCode}:\n${said}`)
    const ready = await fetch(`${address}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (ready) return new ChatServer(name, address, child)
  }
  child.kill('SIGKILL')
  throw new Error(`${name} did not serve within ${startMs / 1000} s:\n${said}`)
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
