// The process of an engine, started by `Supervisor`. It serves one engine over its pipe, and ends with that.
import { writeFileSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { Socket } from 'node:net'
import { readLines } from '../lines.ts'
import type { Load, ToChild } from '../messages.ts'
import { decodeToChild, plain } from '../protocol.ts'
import { Outgoing } from './outgoing.ts'

/** Whoever does what the parent says. */
interface Host {
  take(message: Exclude<ToChild, Load>): void
}

const pipe = new Socket({ fd: 3, readable: true, writable: true })
const out = new Outgoing((line) => pipe.write(line))
let host: Promise<Host> | undefined

// The engine is imported when it is known which one: what Node makes of its files is kept for the next start.
enableCompileCache()
// Whoever stops the parent stops this process by the end of the pipe; a signal to both is the parent's to answer.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const) process.on(signal, () => {})
// Nobody waits for native code that is still running, as an ordinary exit would.
pipe.on('close', () => process.kill(process.pid, 'SIGKILL'))
pipe.on('error', () => {})
dieFirst()

readLines(pipe, take, (error) => out.say({ type: 'log', level: 'error', message: `a message is lost: ${error}` }))

function take(line: string): void {
  const message = decodeToChild(line)
  if (message.type === 'load' || message.type === 'loadEmbedder') {
    host ??= load(message)
    // This process is killed in the end, and then nobody writes it.
    host.then(
      () => flushCompileCache(),
      (error: unknown) => {
        out.say({ type: 'unloadable', error: plain(error) })
        out.flush()
        pipe.end(() => process.exit(1))
      },
    )
  } else void host?.then((host) => host.take(message))
}

/** Neither knows of the other, and only one of them is needed. */
async function load(message: Load): Promise<Host> {
  if (message.type === 'loadEmbedder') return (await import('./embedder-host.ts')).EmbedderHost.load(message, out)
  return (await import('./engine-host.ts')).EngineHost.load(message, out)
}

/** When memory runs out, this process is worth less than the one that can start it again (Linux). */
function dieFirst(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '500')
  } catch (error) {
    out.say({ type: 'log', level: 'debug', message: `the oom score stays as it is: ${error}` })
  }
}
