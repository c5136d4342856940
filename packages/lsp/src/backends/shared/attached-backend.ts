import { connect, type Socket } from 'node:net'
import { type FimOrder, IncipitError } from '@incipit/engine/api'
import { type CancellationToken, CancellationTokenSource, type MessageConnection } from 'vscode-languageserver'
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from 'vscode-languageserver/node'
import type { FimPrompt } from '../../context/fim-format.ts'
import type { EditPrompt } from '../../edits/edit-prompt.ts'
import type { Said } from '../../suggest/gate.ts'
import {
  type Backend,
  type BackendSession,
  type CompletionOptions,
  PromptTooLong,
  type RewriteOptions,
} from '../backend.ts'
import {
  type CompletionEnd,
  closeNotification,
  completeRequest,
  followNotification,
  type HostInfo,
  infoRequest,
  openNotification,
  rewriteRequest,
  saidNotification,
  sharedProtocol,
} from './messages.ts'
import { PieceQueue } from './piece-queue.ts'

/** A back end that another process has: its host, or an `incipit serve`. */
export class AttachedBackend implements Backend {
  readonly gone: Promise<void>
  readonly #info: HostInfo
  readonly #connection: MessageConnection
  readonly #socket: Socket
  readonly #queues = new Map<number, PieceQueue>()
  #failure: Error | undefined
  #lastId = 0

  private constructor(info: HostInfo, connection: MessageConnection, socket: Socket) {
    this.#info = info
    this.#connection = connection
    this.#socket = socket
    connection.onNotification(saidNotification, ({ id, ...said }) => this.#queues.get(id)?.push(said))
    this.gone = new Promise((resolve) => {
      socket.once('close', () => {
        this.#failure = new IncipitError('closed', 'the engine that was shared is gone')
        for (const queue of this.#queues.values()) queue.end(this.#failure)
        resolve()
      })
    })
  }

  /** @returns undefined where nobody listens, or one of another version */
  static async attach(path: string): Promise<AttachedBackend | undefined> {
    const socket = await connected(path)
    if (!socket) return undefined
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket))
    connection.listen()
    // A process that is being killed may still take a connection.
    const closed = new Promise<undefined>((resolve) => socket.once('close', () => resolve(undefined)))
    const info = await Promise.race([connection.sendRequest(infoRequest), closed])
    if (info?.protocol === sharedProtocol) return new AttachedBackend(info, connection, socket)
    connection.dispose()
    socket.destroy()
    return undefined
  }

  get model(): string {
    return this.#info.model
  }

  get contextTokens(): number {
    return this.#info.contextTokens
  }

  get order(): FimOrder | undefined {
    return this.#info.order
  }

  get probabilities(): boolean {
    return this.#info.probabilities
  }

  get begins(): boolean {
    return this.#info.begins
  }

  get rewrites(): boolean {
    return this.#info.rewrites
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  open(): BackendSession {
    const session = ++this.#lastId
    const connection = this.#connection
    const send = async (message: () => Promise<void>) => {
      try {
        await message()
      } catch {
        // What cannot be sent any more is not missed: the connection is gone, and so is the session.
      }
    }
    void send(() => connection.sendNotification(openNotification, { session }))
    return {
      follow: (prompt) => void send(() => connection.sendNotification(followNotification, { session, prompt })),
      complete: (prompt, options) => this.#complete(session, prompt, options),
      close: () => void send(() => connection.sendNotification(closeNotification, { session })),
    }
  }

  rewrite(prompt: EditPrompt, options: RewriteOptions): AsyncGenerator<Said> {
    const { maxTokens } = options
    return this.#said(options, (id, token) =>
      this.#connection.sendRequest(rewriteRequest, { id, prompt, maxTokens }, token),
    )
  }

  async close(): Promise<void> {
    this.#connection.dispose()
    this.#socket.destroy()
  }

  #complete(session: number, prompt: FimPrompt, options: CompletionOptions): AsyncGenerator<Said> {
    const { signal: _signal, onUsage: _onUsage, ...plain } = options
    return this.#said(options, (id, token) =>
      this.#connection.sendRequest(completeRequest, { session, id, prompt, ...plain }, token),
    )
  }

  /** What is said to a request until its end. */
  async *#said(
    { signal, onUsage }: RewriteOptions,
    ask: (id: number, token: CancellationToken) => Promise<CompletionEnd>,
  ): AsyncGenerator<Said> {
    if (this.#failure) throw this.#failure
    const id = ++this.#lastId
    const queue = new PieceQueue()
    this.#queues.set(id, queue)
    const source = new CancellationTokenSource()
    const cancel = () => {
      source.cancel()
      queue.end()
    }
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel, { once: true })
    const asked = async () => ask(id, source.token)
    asked().then(
      ({ usage, tooLong }) => {
        if (usage) onUsage?.(usage)
        queue.end(tooLong === undefined ? undefined : new PromptTooLong(tooLong))
      },
      (error: unknown) => queue.end(signal.aborted ? undefined : error),
    )
    try {
      yield* queue
    } finally {
      source.cancel()
      signal.removeEventListener('abort', cancel)
      this.#queues.delete(id)
    }
  }
}

function connected(path: string): Promise<Socket | undefined> {
  const socket = connect(path)
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket))
    // Nobody there, or somebody was.
    socket.once('error', () => resolve(undefined))
  })
}
