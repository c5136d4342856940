import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A server under test in a process of its own, as its users start it. */
export class ServerProcess implements AsyncDisposable {
  readonly name: string
  readonly address: string
  readonly #child: ChildProcess

  /** Use `incipit` or `llamaServer`. */
  constructor(name: string, address: string, child: ChildProcess) {
    this.name = name
    this.address = address
    this.#child = child
  }

  static incipit(model: string, options: ServerOptions): Promise<ServerProcess> {
    const main = join(import.meta.dirname, '../../incipit/src/main.ts')
    const { threads, contextLength, streams, cacheDir } = options
    const slots = streams === undefined ? [] : ['--parallel', String(streams)]
    const env = cacheDir === undefined ? {} : { INCIPIT_CACHE: cacheDir }
    const args = [main, 'serve', '--model', model, '--cut', 'none', ...slots, '--context', String(contextLength)]
    return start('incipit', process.execPath, args, threads, env)
  }

  /** @param program the path of llama.cpp's `llama-server` */
  static llamaServer(program: string, model: string, options: ServerOptions): Promise<ServerProcess> {
    const { threads, contextLength, streams } = options
    // Its context is that of all its slots together.
    const slots = streams === undefined ? [] : ['--parallel', String(streams)]
    const args = ['-m', model, ...slots, '--ctx-size', String(contextLength * (streams ?? 1))]
    return start('llama-server', program, args, threads)
  }

  get pid(): number {
    return this.#child.pid!
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }
}

interface ServerOptions {
  readonly threads: number
  /** Tokens of each sequence. */
  readonly contextLength: number
  /** Most requests at once. Default: the server's own. */
  readonly streams?: number
  /** Where incipit keeps what it learns. Default: where it does for its users. */
  readonly cacheDir?: string
}

const startMs = 180_000

async function start(
  name: string,
  program: string,
  args: readonly string[],
  threads: number,
  env: Record<string, string> = {},
): Promise<ServerProcess> {
  const port = await freePort()
  const all = [...args, '--port', String(port), '--threads', String(threads)]
  const child = spawn(program, all, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } })
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
    if (ready) return new ServerProcess(name, address, child)
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
