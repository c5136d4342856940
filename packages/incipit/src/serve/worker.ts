// The process that serves, started by `incipit serve` and supervised by it (supervise.ts). Its configuration is the
// first message on the process channel, so that an API key stands in nobody's list of processes.
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Engine } from '@incipit/engine'
import { reportFailure } from '../failure.ts'
import { engineOptions } from '../flags.ts'
import { defined } from '../options.ts'
import { banner } from './banner.ts'
import type { ServeConfig } from './config.ts'
import { openLoadingServer } from './loading-server.ts'
import { pinPrefixes } from './prefixes.ts'
import type { SupervisorMessage, WorkerMessage } from './supervise.ts'

/** How often the engine is asked whether it still goes on, in milliseconds. */
const watchMs = 100
/** How long replies that a failed engine has ended may take to be read, in milliseconds. */
const lastWordsMs = 1000

process.on('disconnect', endNow)

process.once('message', (config: ServeConfig) => {
  serve(config).catch((error: unknown) => {
    reportFailure(error)
    tell({ type: 'fatal' }, () => process.exit(1))
  })
})

async function serve(config: ServeConfig): Promise<void> {
  const close = toldToClose()
  // The port is taken first: that it is in use should not be learned after loading a native library and gigabytes.
  const gate = await openLoadingServer(config.host, config.port)
  const { port } = gate.address() as AddressInfo
  const options = engineOptions(config)
  let loading = true
  // Nothing is lost by not waiting for a model that nobody uses yet.
  void close.then(() => loading && endNow())
  const [{ Engine }, { cacheSaltOf, createServer }] = await Promise.all([
    import('@incipit/engine'),
    import('@incipit/server'),
  ])
  const engine = await Engine.load(config.model, options)
  const { apiKey, tier, policy, alpha } = config
  // Before the prefixes: what is impossible should not be learned after them.
  const app = createServer(engine, defined({ apiKey, tier, policy, alpha, log: options.log }))
  const prefixes = await pinPrefixes(engine, config.prefixes, cacheSaltOf(apiKey))
  loading = false
  await app.ready()
  await takeOver(gate, app.server)
  tell({ type: 'listening', port })

  const address = addressOf(config.host, port)
  if (config.restarted) process.stderr.write(`incipit: serving again on ${address}\n`)
  else process.stdout.write(banner(engine.info, address, config, { prefixes, showKey: process.stdout.isTTY === true }))

  await Promise.race([close, failed(engine)])
  if (engine.failure !== undefined) {
    await Promise.race([finishReplies(app.server), wait(lastWordsMs)])
    endNow()
  }
  await finishReplies(app.server)
  await app.close()
  await engine.close()
  process.exit(0)
}

/** No new connections; running replies end first. The supervisor's patience is the limit. */
async function finishReplies(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  // A connection that clients keep for later becomes idle with the end of its reply, and closes only if it is told to.
  const timer = setInterval(() => server.closeIdleConnections(), 20)
  await closed
  clearInterval(timer)
}

/** Resolves when a defect has ended the engine. Asked for, because there need not be a reply that would tell. */
async function failed(engine: Pick<Engine, 'failure'>): Promise<void> {
  while (engine.failure === undefined) await wait(watchMs)
}

/**
 * For a worker without a supervisor, or with nothing to finish, or that cannot go on. Nobody waits for native code that
 * is still running, as `process.exit` would.
 */
function endNow(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}

/** The gate's listening socket goes to the real server: no moment without anybody at the port. */
async function takeOver(gate: Server, server: Server): Promise<void> {
  gate.closeAllConnections()
  const listening = once(server, 'listening')
  server.listen(gate)
  await listening
}

function toldToClose(): Promise<void> {
  return new Promise((resolve) => {
    process.on('message', (message: SupervisorMessage) => {
      if (message.type === 'close') resolve()
    })
    // Ctrl-C in a terminal reaches the worker too, and a service manager may stop it by itself.
    process.on('SIGINT', () => resolve()).on('SIGTERM', () => resolve())
  })
}

function tell(message: WorkerMessage, sent?: () => void): void {
  process.send?.(message, undefined, undefined, sent)
}

function addressOf(host: string, port: number): string {
  // An address that means "all interfaces" is not one to connect to.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}
