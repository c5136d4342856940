import { Engine } from '../src/index.ts'
import type { Server } from './drive.ts'
import type { Settings } from './settings.ts'

/** incipit under load: every request goes to the engine at once. */
export async function incipitServer(settings: Settings): Promise<Server> {
  const { model, streams, contextLength, threads } = settings
  const engine = await Engine.load(model, { parallel: streams, contextLength, threads, cut: 'none' })
  return {
    async serve({ at: _, shared: __, ...request }, onTokens) {
      for await (const event of engine.generate(request)) {
        if (event.type === 'delta') onTokens(event.tokens)
        if (event.type === 'done') return event.usage.completionTokens
      }
      throw new Error('the reply ended without `done`')
    },
    [Symbol.asyncDispose]: () => engine.close(),
  }
}
