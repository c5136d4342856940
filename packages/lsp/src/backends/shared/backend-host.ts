import { createServer, type Server, type Socket } from 'node:net'
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from 'vscode-languageserver/node'
import { type Backend, type BackendSession, PromptTooLong } from '../backend.ts'
import {
  closeNotification,
  completeRequest,
  followNotification,
  infoRequest,
  openNotification,
  saidNotification,
  sharedProtocol,
} from './messages.ts'

/** Gives a back end to every editor that connects to a local socket. */
export class BackendHost implements AsyncDisposable {
  readonly #backend: Backend
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #onUnused: () => void

  /** @param onUnused the last connection is closed */
  private constructor(backend: Backend, onUnused: () => void) {
    this.#backend = backend
    this.#onUnused = onUnused
    this.#server = createServer((socket) => this.#serve(socket))
  }

  /** @throws what `listen` throws: EADDRINUSE where another one is, or was */
  static async listen(backend: Backend, path: string, onUnused: () => void = () => {}): Promise<BackendHost> {
    const host = new BackendHost(backend, onUnused)
    const listening = Promise.withResolvers<void>()
    host.#server.once('error', listening.reject)
    host.#server.listen(path, () => listening.resolve())
    await listening.promise
    return host
  }

  get connections(): number {
    return this.#sockets.size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    const sessions = new Map<number, BackendSession>()
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket))
    const { model, contextTokens, order, probabilities, begins } = this.#backend
    connection.onRequest(infoRequest, () => {
      return { protocol: sharedProtocol, model, contextTokens, order, probabilities, begins }
    })
    connection.onNotification(openNotification, ({ session }) => {
      sessions.set(session, this.#backend.open())
    })
    connection.onNotification(followNotification, ({ session, prompt }) => sessions.get(session)?.follow(prompt))
    connection.onNotification(closeNotification, ({ session }) => {
      sessions.get(session)?.close()
      sessions.delete(session)
    })
    connection.onRequest(completeRequest, async ({ session, id, prompt, ...options }, token) => {
      const abort = new AbortController()
      token.onCancellationRequested(() => abort.abort())
      socket.once('close', () => abort.abort())
      let usage: { promptTokens: number; cachedTokens: number } | undefined
      const onUsage = (known: typeof usage) => {
        usage = known
      }
      try {
        const said = sessions.get(session)?.complete(prompt, { ...options, signal: abort.signal, onUsage }) ?? []
        for await (const piece of said) {
          if (socket.destroyed) break
          void connection.sendNotification(saidNotification, { id, ...piece }).catch(() => {})
        }
        return usage ? { usage } : {}
      } catch (error) {
        if (error instanceof PromptTooLong) return { tooLong: error.message }
        throw error
      }
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      for (const session of sessions.values()) session.close()
      connection.dispose()
      this.#sockets.delete(socket)
      if (this.#sockets.size === 0) this.#onUnused()
    })
    connection.listen()
  }
}
