import { Engine } from '@incipit/engine'
import { createServer } from '../src/index.ts'

// A server in a process of its own, for benchmarks: says where it listens, and its engine's counters when asked.
const engine = await Engine.load(process.argv[2]!, { parallel: 8, contextLength: 4096 })
const server = createServer(engine)
const address = await server.listen({ host: '127.0.0.1', port: 0 })
process.send!({ address })
process.on('message', () => process.send!({ stats: engine.stats() }))
process.on('disconnect', () => process.exit(0))
