import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { SpawnedEngine } from '@incipit/engine/spawn'
import { engineOptions } from '../flags.ts'
import { shareWithEditors } from '../lsp/share-with-editors.ts'
import { defined } from '../options.ts'
import { banner } from './banner.ts'
import type { ServeConfig } from './config.ts'
import { openLoadingServer } from './loading-server.ts'
import { pinPrefixes } from './prefixes.ts'
import { stopSignal } from './stop-signal.ts'

/** How long running replies may take to end after a signal, in milliseconds. */
const closeMs = 5000

/**
 * Serves until a signal comes; then this process ends with code 0. The engine runs in a child process, which is started
 * again when it dies: this process, which has the connections, runs no native code.
 * @throws IncipitError when it cannot serve
 */
export async function serve(config: ServeConfig): Promise<never> {
  let loading = true
  // Nothing is lost by not waiting for a model that nobody uses yet.
  const stopped = stopSignal(() => loading && process.exit(0))
  // The port is taken first: that it is in use should not be learned after loading gigabytes.
  const page = config.page ? (await import('@incipit/playground')).page : undefined
  const gate = await openLoadingServer(config.host, config.port, page)
  try {
    const { port } = gate.address() as AddressInfo
    const options = engineOptions(config, ['error', 'warn'])
    const [{ SpawnedEngine }, { cacheSaltOf, createServer }, { ConstraintChecks }] = await Promise.all([
      import('@incipit/engine/spawn'),
      import('@incipit/server'),
      import('@incipit/constraint'),
    ])
    const compiler = import.meta.resolve('@incipit/constraint/compiler')
    await using engine = await SpawnedEngine.start(config.model, { ...options, constraints: compiler })
    using constraints = new ConstraintChecks()
    const { apiKey, tier, policy, alpha } = config
    // Before the prefixes: what is impossible should not be learned after them.
    const app = createServer(engine, defined({ apiKey, tier, policy, alpha, constraints, page, log: options.log }))
    const prefixes = await pinPrefixes(engine, config.prefixes, cacheSaltOf(apiKey))
    await app.ready()
    await takeOver(gate, app.server)
    loading = false
    const address = addressOf(config.host, port)
    // Editors of this user use the same engine. With a key the server is for those who have it.
    if (apiKey === undefined) await shareWithEditors(engine, config.model, options.log)
    process.stdout.write(banner(engine.info, address, config, { prefixes, showKey: process.stdout.isTTY === true }))

    await stopped
    await Promise.race([finish(app.server, engine), wait(closeMs)])
    process.exit(0)
  } finally {
    gate.closeAllConnections()
    gate.close()
  }
}

/** No new connections; running replies end first, then the engine saves what it learnt. */
async function finish(server: Server, engine: SpawnedEngine): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  // A connection that clients keep for later becomes idle with the end of its reply, and closes only if it is told to.
  const timer = setInterval(() => server.closeIdleConnections(), 20)
  await closed
  clearInterval(timer)
  await engine.close()
}

/** The gate's listening socket goes to the real server: no moment without anybody at the port. */
async function takeOver(gate: Server, server: Server): Promise<void> {
  gate.closeAllConnections()
  const listening = once(server, 'listening')
  server.listen(gate)
  await listening
}

function addressOf(host: string, port: number): string {
  // An address that means "all interfaces" is not one to connect to.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}
