import type { ChildProcess } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'

/** What a worker tells its supervisor over the process channel. */
export type WorkerMessage =
  /** It serves on this port. */
  | { type: 'listening'; port: number }
  /** It cannot serve and has said why; another try would end the same way. */
  | { type: 'fatal' }

/** What a supervisor tells its worker. */
export type SupervisorMessage = { type: 'close' }

export interface SuperviseOptions {
  /** Starts a worker with a process channel. `port` is the one an earlier worker served on. */
  start(port: number | undefined): ChildProcess
  /** One plain line for people. */
  say(line: string): void
  /** Signals of this process that stop the worker. Default: SIGINT, SIGTERM, SIGHUP. */
  signals?: readonly NodeJS.Signals[]
  /** Times in milliseconds; the defaults are the constants below. */
  firstDelayMs?: number
  closeMs?: number
}

/** Restarts within `windowMs` before giving up: a server that cannot stay up should say so, not burn the machine. */
const mostRestarts = 5
const windowMs = 60_000
/** Pause before the first restart; it doubles with each further one inside the window. */
const firstDelayMs = 250
/** How long running replies may take to end after a signal. */
const closeMs = 5000
/** Under a wrapper one Ctrl-C may arrive twice; only a later one means impatience. */
const impatientMs = 500

/**
 * Keeps a worker process running: starts it again after a crash (a signal, or an exit code that is not 0) with a growing
 * delay, and stops it on the signals. Returns the exit code for this process: 0 after a signal or a worker that ended by
 * itself, 1 when the worker was fatal or crashed too often.
 *
 * A native library cannot be trusted not to crash, and the process that crashes should not be the one that remembers
 * how to start again.
 */
export async function supervise(options: SuperviseOptions): Promise<number> {
  const signals = options.signals ?? ['SIGINT', 'SIGTERM', 'SIGHUP']
  const stopped = new AbortController()
  let stoppedAt = 0
  let worker: ChildProcess | undefined
  const stop = () => {
    if (stopped.signal.aborted) {
      if (performance.now() - stoppedAt > impatientMs) worker?.kill('SIGKILL')
      return
    }
    stoppedAt = performance.now()
    stopped.abort()
    if (worker) close(worker, options.closeMs ?? closeMs)
  }
  for (const signal of signals) process.on(signal, stop)

  try {
    const restarts: number[] = []
    for (let port: number | undefined; ; ) {
      worker = options.start(port)
      const end = await ended(worker)
      port = end.port ?? port
      if (stopped.signal.aborted || end.code === 0) return 0
      if (end.fatal) return 1

      const now = performance.now()
      while (restarts[0] !== undefined && now - restarts[0] > windowMs) restarts.shift()
      const how = end.signal ? `was ended by ${end.signal}` : `ended with exit code ${end.code}`
      if (restarts.length >= mostRestarts) {
        options.say(`the server ${how}, ${mostRestarts + 1} times within a minute; giving up`)
        return 1
      }
      const delay = (options.firstDelayMs ?? firstDelayMs) * 2 ** restarts.length
      options.say(`the server ${how}; starting it again in ${delay / 1000} s`)
      restarts.push(now)
      await wait(delay, undefined, { signal: stopped.signal }).catch(() => {})
      if (stopped.signal.aborted) return 0
    }
  } finally {
    for (const signal of signals) process.off(signal, stop)
  }
}

/** Asks the worker to finish, and ends it when that takes too long. */
function close(worker: ChildProcess, ms: number): void {
  const message: SupervisorMessage = { type: 'close' }
  // A worker that is just ending has no channel any more; its exit will be seen.
  if (worker.connected) worker.send(message, () => {})
  const timer = setTimeout(() => worker.kill('SIGKILL'), ms)
  worker.once('exit', () => clearTimeout(timer))
}

interface End {
  code: number | null
  signal: NodeJS.Signals | null
  port: number | undefined
  fatal: boolean
}

function ended(worker: ChildProcess): Promise<End> {
  return new Promise((resolve, reject) => {
    let port: number | undefined
    let fatal = false
    worker.on('message', (message: WorkerMessage) => {
      if (message.type === 'listening') port = message.port
      else fatal = true
    })
    worker.once('error', reject)
    worker.once('exit', (code, signal) => resolve({ code, signal, port, fatal }))
  })
}
