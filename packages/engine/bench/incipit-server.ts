import { Engine } from '../src/index.ts'
import type { Server } from './drive.ts'
import type { Settings } from './settings.ts'

/** incipit under load: every request goes to the engine at once. */
export async function incipitServer(settings: Settings): Promise<Server> {
  const { model, streams, contextLength, threads, cacheDir, cache, cachePrompt = true } = settings
  const engine = await Engine.load(model, {
    parallel: streams,
    contextLength,
    threads,
    cut: 'none',
    ...(cacheDir !== undefined && { cacheDir }),
    ...(cache !== undefined && { cache }),
  })
  let before = engine.stats()
  return {
    async serve({ at: _, shared: __, ...request }, onTokens) {
      for await (const event of engine.generate({ ...request, cachePrompt })) {
        if (event.type === 'delta') onTokens(event.tokens)
        if (event.type === 'done') return event.usage.completionTokens
      }
      throw new Error('the reply ended without `done`')
    },
    takeSteps() {
      const now = engine.stats()
      const of = (name: 'steps' | 'decodeMs' | 'overheadMs') => now[name] - before[name]
      const taken = { steps: of('steps'), decodeMs: of('decodeMs'), outsideMs: of('overheadMs') }
      before = now
      return taken
    },
    [Symbol.asyncDispose]: () => engine.close(),
  }
}
