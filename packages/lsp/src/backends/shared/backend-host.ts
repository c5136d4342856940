import { createServer, type Server, type Socket } from 'node:net'
import type { CancellationToken } from 'vscode-languageserver'
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from 'vscode-languageserver/node'
import type { Said } from '../../suggest/gate.ts'
import { type Backend, type BackendSession, type BackendUsage, PromptTooLong, type RewriteOptions } from '../backend.ts'
import {
  type CompletionEnd,
  closeNotification,
  completeRequest,
  followNotification,
  infoRequest,
  openNotification,
  rewriteRequest,
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
    const { model, contextTokens, order, probabilities, begins, rewrites } = this.#backend
    connection.onRequest(infoRequest, () => {
      return { protocol: sharedProtocol, model, contextTokens, order, probabilities, begins, rewrites }
    })
    connection.onNotification(openNotification, ({ session }) => {
      sessions.set(session, this.#backend.open())
    })
    connection.onNotification(followNotification, ({ session, prompt }) => sessions.get(session)?.follow(prompt))
    connection.onNotification(closeNotification, ({ session }) => {
      sessions.get(session)?.close()
      sessions.delete(session)
    })
    /** Sends on what is said until its end, or until nobody wants it. */
    const send = async (
      id: number,
      token: CancellationToken,
      ask: (options: Pick<RewriteOptions, 'signal' | 'onUsage'>) => AsyncIterable<Said>,
    ): Promise<CompletionEnd> => {
      const abort = new AbortController()
      token.onCancellationRequested(() => abort.abort())
      socket.once('close', () => abort.abort())
      let usage: BackendUsage | undefined
      const onUsage = (known: BackendUsage) => {
        usage = known
      }
      try {
        for await (const piece of ask({ signal: abort.signal, onUsage })) {
          if (socket.destroyed) break
          void connection.sendNotification(saidNotification, { id, ...piece }).catch(() => {})
        }
        return usage ? { usage } : {}
      } catch (error) {
        if (error instanceof PromptTooLong) return { tooLong: error.message }
        throw error
      }
    }
    connection.onRequest(completeRequest, ({ session, id, prompt, ...plain }, token) => {
      const there = sessions.get(session)
      return there ? send(id, token, (options) => there.complete(prompt, { ...plain, ...options })) : {}
    })
    connection.onRequest(rewriteRequest, ({ id, prompt, maxTokens }, token) =>
      send(id, token, (options) => this.#backend.rewrite(prompt, { maxTokens, ...options })),
    )
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
