import type { Server } from './drive.ts'
import { ServerProcess } from './server-process.ts'
import type { Settings } from './settings.ts'
import { eventsOf } from './sse-events.ts'

interface CompletionEvent {
  readonly content: string
  readonly stop: boolean
  readonly tokens_predicted: number
}

/** `incipit serve` or llama-server under load, over HTTP: llama-server's own endpoint, which incipit has, too. */
export async function completionServer(settings: Settings): Promise<Server & { readonly process: ServerProcess }> {
  const { engine, program, model, plain, ...options } = settings
  const server = await (engine === 'llama-server'
    ? ServerProcess.llamaServer(program!, model, options)
    : ServerProcess.incipit(model, options))
  return {
    process: server,
    async serve({ prompt, maxTokens, temperature = 0, endless }, onTokens, signal) {
      const response = await fetch(`${server.address}/completion`, {
        method: 'POST',
        // A server that rested while another had its turn closes what it kept open, perhaps while a request is on its way.
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({
          ...{ prompt, n_predict: maxTokens, temperature, stream: true },
          ...(plain && { speculate: false }),
          ...(endless && { ignore_eos: true }),
        }),
        ...(signal && { signal }),
      })
      if (!response.ok) throw new Error(`${server.name}: ${response.status} ${await response.text()}`)
      for await (const { content, stop, tokens_predicted: tokens } of eventsOf<CompletionEvent>(response.body!)) {
        if (stop) return tokens
        if (content !== '') onTokens(1)
      }
      throw new Error(`${server.name}: the reply ended without its last event`)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
