import { type ChildProcess, fork } from 'node:child_process'
import { completionServer } from './completion-server.ts'
import { closedLoop, openLoop, type Round, type Server } from './drive.ts'
import { incipitServer } from './incipit-server.ts'
import type { LoadRequest } from './load.ts'
import { peerServer } from './peer-node-llama-cpp.ts'
import { plainServer } from './plain-server.ts'
import type { Settings } from './settings.ts'

/** An engine in a process of its own, so that neither engine's threads, garbage or caches reach the other. */
export class EngineProcess implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(settings: Settings): Promise<EngineProcess> {
    const child = fork(import.meta.filename, [JSON.stringify(settings)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const engine = new EngineProcess(child)
    await engine.#answer()
    return engine
  }

  /** Serves a load. Requests with a time of arrival come when they are due, others from `streams` clients. */
  async run(requests: readonly LoadRequest[]): Promise<Round> {
    const answer = this.#answer()
    this.#child.send(requests)
    return (await answer) as Round
  }

  #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const gone = (code: number | null) => reject(new Error(`an engine under test ended with code ${code}`))
      this.#child.once('exit', gone)
      this.#child.once('message', (message) => {
        this.#child.off('exit', gone)
        resolve(message)
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.disconnect()
    await ended
  }
}

const servers: Readonly<Record<Settings['engine'], (settings: Settings) => Promise<Server>>> = {
  incipit: incipitServer,
  'plain llama.cpp': plainServer,
  'node-llama-cpp': peerServer,
  'incipit serve': completionServer,
  'llama-server': completionServer,
}

if (import.meta.main) {
  const settings = JSON.parse(process.argv[2]!) as Settings
  const server = await servers[settings.engine](settings)
  process.on('message', async (requests: LoadRequest[]) => {
    const open = requests[0]?.at !== undefined
    server.takeSteps?.()
    const round = await (open ? openLoop(server, requests) : closedLoop(server, requests, settings.streams))
    process.send!({ ...round, steps: server.takeSteps?.() })
  })
  process.on('disconnect', async () => {
    await server[Symbol.asyncDispose]()
    process.exit(0)
  })
  process.send!('ready')
}
