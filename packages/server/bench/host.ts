import { Engine } from '@incipit/engine'
import { SpawnedEngine } from '@incipit/engine/spawn'
import { createServer } from '../src/index.ts'

// A server in a process of its own, for benchmarks: says where it listens, and its engine's counters when asked.
//
//   host.ts MODEL [inside|child [THREADS]]   where the engine runs; inside by default
const [path, where = 'inside', threads] = process.argv.slice(2)
const options = { parallel: 8, contextLength: 4096, ...(threads && { threads: Number(threads) }) }
const engine = where === 'child' ? await SpawnedEngine.start(path!, options) : await Engine.load(path!, options)
const server = createServer(engine)
const address = await server.listen({ host: '127.0.0.1', port: 0 })
process.send!({ address })
process.on('message', async () => process.send!({ stats: await engine.stats() }))
process.on('disconnect', () => process.exit(0))
