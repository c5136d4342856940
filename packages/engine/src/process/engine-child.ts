import { type ChildProcess, spawn } from 'node:child_process'
import { extname } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { readLines } from './lines.ts'
import type { FromChild, ToChild } from './messages.ts'
import { decodeFromChild, encodeToChild } from './protocol.ts'

/** The child's end of the pipe. */
const pipeDescriptor = 3
/** Beats that may go unanswered: from then on the event loop of the child counts as blocked. */
const patience = 4

export interface ChildEvents {
  message(message: FromChild): void
  /** The process is gone, and all that it had said was told. `how`: `was ended by SIGSEGV`, say. */
  ended(how: string): void
}

/** The process of an engine, from the parent's side: it takes messages and says messages, until it ends. */
export class EngineChild {
  readonly #process: ChildProcess
  readonly #pipe: Duplex
  #heart: NodeJS.Timeout | undefined
  #unanswered = 0
  #killed: string | undefined

  /** @param environment beside that of this process */
  constructor(events: ChildEvents, environment: NodeJS.ProcessEnv) {
    // Compiled, it is JavaScript as this file is.
    const program = fileURLToPath(new URL(`./host/child${extname(import.meta.url)}`, import.meta.url))
    const env = { ...process.env, ...environment }
    this.#process = spawn(process.execPath, [program], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'], env })
    this.#pipe = this.#process.stdio[pipeDescriptor] as Duplex
    // Writing to a child that is gone: its end will be told.
    this.#pipe.on('error', () => {})
    readLines(
      this.#pipe,
      (line) => {
        for (const message of decodeFromChild(line)) {
          if (message.type === 'pong') this.#unanswered = 0
          else events.message(message)
        }
      },
      (error) => this.kill(`said what nobody understands (${error instanceof Error ? error.message : error})`),
    )
    let over = false
    const end = (how: string) => {
      if (over) return
      over = true
      clearInterval(this.#heart)
      events.ended(this.#killed ?? how)
    }
    this.#process.on('error', (error) => end(`did not start (${error.message})`))
    // Not `exit`: what is left in the pipe is read first.
    this.#process.on('close', (code, signal) => end(signal ? `was ended by ${signal}` : `ended with exit code ${code}`))
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** @throws IncipitError `invalid_request` for what is no plain data */
  send(message: ToChild): void {
    this.#pipe.write(`${encodeToChild(message)}\n`)
  }

  /** From now on it has to answer every few of these milliseconds. */
  watch(beatMs: number): void {
    // Beats are counted and not time: a machine that slept has not been waiting.
    this.#heart = setInterval(() => {
      if (this.#unanswered >= patience) {
        this.kill(`did not answer for ${(patience * beatMs) / 1000} s`)
        return
      }
      this.#unanswered++
      this.send({ type: 'ping' })
    }, beatMs)
    this.#heart.unref()
  }

  /** @param how what `ended` is told */
  kill(how: string): void {
    this.#killed ??= how
    this.#process.kill('SIGKILL')
  }
}
