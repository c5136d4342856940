import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { ModelPool, PoolModel } from '@incipit/server/pool'
import { engineOptions } from '../flags.ts'
import { shareWithEditors } from '../lsp/share-with-editors.ts'
import { defined } from '../options.ts'
import { banner, loadingLine, modelsBanner } from './banner.ts'
import type { ServeConfig } from './config.ts'
import { openLoadingServer } from './loading-server.ts'
import type { StartedEngine } from './models/pool-model.ts'
import { stopSignal } from './stop-signal.ts'

/** How long running replies may take to end after a signal, in milliseconds. */
const closeMs = 5000

/**
 * Serves until a signal comes; then this process ends with code 0. Each model runs in a child process, which is started
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
    const address = addressOf(config.host, port)
    const { apiKey, memory, models, strictModel, version } = config
    const pinned = models.filter(({ pinned }) => pinned).map(({ name }) => name)
    if (pinned.length > 0) process.stdout.write(loadingLine(pinned, { version, address }))
    const { log } = engineOptions({}, ['error', 'warn'])
    const [{ ModelPool }, { poolModel }, { ConstraintChecks }] = await Promise.all([
      import('@incipit/server/pool'),
      import('./models/pool-model.ts'),
      import('@incipit/constraint'),
    ])
    const started = new Map<string, StartedEngine>()
    const specs = await Promise.all(
      models.map((model) => poolModel(model, { apiKey, onStarted: (engine) => started.set(model.name, engine) })),
    )
    await using pool = new ModelPool(specs, { memory, strict: strictModel, ...defined({ log }) })
    using constraints = new ConstraintChecks()
    // While models load in their processes, this one makes what it answers with.
    const shared = apiKey === undefined && pinned.length > 0
    const [app] = await Promise.all([
      import('@incipit/server').then(({ createServer }) =>
        createServer(pool, defined({ apiKey, constraints, page, log })),
      ),
      shared && import('@incipit/lsp'),
      loadPinned(pool, specs),
    ])
    await app.ready()
    await takeOver(gate, app.server)
    loading = false
    const options = {
      version,
      address,
      apiKey,
      showKey: process.stdout.isTTY === true,
      page: config.page,
    }
    // Editors of this user use the same engines, where they stay. With a key a server is for those who have it.
    for (const { name, path, pinned, loras } of models) {
      const engine = pinned && shared && !loras ? started.get(name)?.engine : undefined
      if (engine) await shareWithEditors(engine, path, log)
    }
    const only = models.length === 1 ? started.get(models[0]!.name) : undefined
    const cards = pool.list().map((card, i) => ({ ...card, forEmbeddings: specs[i]!.start === undefined }))
    process.stdout.write(
      only ? banner(only.engine.info, models[0]!, only.prefixes, options) : modelsBanner(cards, memory, options),
    )

    await stopped
    await Promise.race([finish([gate, app.server], pool), wait(closeMs)])
    process.exit(0)
  } finally {
    gate.closeAllConnections()
    gate.close()
  }
}

/** Loads the models that stay. */
async function loadPinned(pool: ModelPool, specs: readonly PoolModel[]): Promise<void> {
  for (const { name, pinned, start } of specs) {
    if (!pinned) continue
    using _loaded = await (start ? pool.use(name) : pool.useEmbedder(name))
  }
}

/** No new connections; running replies end first, then engines save what they learnt. */
async function finish(servers: readonly Server[], pool: ModelPool): Promise<void> {
  const closed = Promise.all(servers.map((server) => once(server, 'close')))
  for (const server of servers) server.close()
  // A connection that clients keep for later becomes idle with the end of its reply, and closes only if it is told to.
  const closeIdle = () => {
    for (const server of servers) server.closeIdleConnections()
  }
  const timer = setInterval(closeIdle, 20)
  await closed
  clearInterval(timer)
  await pool.close()
}

/**
 * The gate's listening socket goes to the real server: no moment without anybody at the port. Connections that the gate
 * has already stay with it, as browsers open some before they have a question; what they ask goes to the real server.
 */
async function takeOver(gate: Server, server: Server): Promise<void> {
  for (const event of ['request', 'upgrade', 'checkContinue'] as const) {
    gate.removeAllListeners(event)
    if (server.listenerCount(event) > 0) gate.on(event, (...args: unknown[]) => server.emit(event, ...args))
  }
  const listening = once(server, 'listening')
  server.listen(gate)
  await listening
}

function addressOf(host: string, port: number): string {
  // An address that means "all interfaces" is not one to connect to.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}
