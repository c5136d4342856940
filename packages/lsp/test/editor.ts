import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  createProtocolConnection,
  DidChangeTextDocumentNotification,
  DidCloseTextDocumentNotification,
  DidOpenTextDocumentNotification,
  ExitNotification,
  InitializedNotification,
  InitializeRequest,
  type InitializeResult,
  type InlineCompletionItem,
  InlineCompletionRequest,
  InlineCompletionTriggerKind,
  type ProtocolConnection,
  ShutdownRequest,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver-protocol/node'
import { TextDocument } from 'vscode-languageserver-textdocument'
import { full } from '../../engine/test/fixtures/test-size.ts'
import type { Status } from '../src/protocol/messages.ts'
import type { TraceEntry } from '../src/trace.ts'

const command = fileURLToPath(new URL('../../incipit/src/main.ts', import.meta.url))

/** For tests that take several servers: CI runs them, `npm test` does not. */
export const whenFull = full ? false : 'part of npm run test:full'

export interface EditorOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly settings?: Readonly<Record<string, unknown>>
  readonly folder?: string
  /** Whether the editor shows inline completions. Default true. */
  readonly inline?: boolean
}

/** A client of `incipit lsp` over its standard input and output, as an editor is one. */
export class Editor implements AsyncDisposable {
  readonly process: ChildProcess
  readonly connection: ProtocolConnection
  readonly statuses: Status[] = []
  initialized!: InitializeResult
  readonly #documents = new Map<string, TextDocument>()

  private constructor(process: ChildProcess) {
    this.process = process
    this.connection = createProtocolConnection(
      new StreamMessageReader(process.stdout!),
      new StreamMessageWriter(process.stdin!),
    )
    this.connection.onNotification('incipit/status', (status: Status) => {
      this.statuses.push(status)
    })
    this.connection.listen()
  }

  static async start({ env = {}, settings = {}, folder, inline = true }: EditorOptions = {}): Promise<Editor> {
    const child = spawn(process.execPath, [command, 'lsp', '--stdio'], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const editor = new Editor(child)
    editor.initialized = await editor.connection.sendRequest(InitializeRequest.type, {
      processId: process.pid,
      rootUri: null,
      workspaceFolders: folder ? [{ uri: folder, name: 'workspace' }] : null,
      capabilities: { textDocument: inline ? { inlineCompletion: {} } : {} },
      initializationOptions: { ...settings, status: true },
    })
    await editor.connection.sendNotification(InitializedNotification.type, {})
    return editor
  }

  /** Resolves when the server is in a state. */
  async until(state: Status['state'], ms = 60_000): Promise<Status> {
    const end = Date.now() + ms
    while (Date.now() < end) {
      const last = this.statuses.at(-1)
      if (last?.state === state) return last
      if (state !== 'failed' && last?.state === 'failed') throw new Error(`the server failed: ${last.message}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    throw new Error(`the server is ${this.statuses.at(-1)?.state}, not ${state}`)
  }

  text(uri: string): string {
    return this.#documents.get(uri)!.getText()
  }

  async open(uri: string, text: string, languageId = 'typescript'): Promise<void> {
    this.#documents.set(uri, TextDocument.create(uri, languageId, 1, text))
    const textDocument = { uri, languageId, version: 1, text }
    await this.connection.sendNotification(DidOpenTextDocumentNotification.type, { textDocument })
  }

  async close(uri: string): Promise<void> {
    this.#documents.delete(uri)
    await this.connection.sendNotification(DidCloseTextDocumentNotification.type, { textDocument: { uri } })
  }

  /** Replaces what stands between two offsets. */
  async edit(uri: string, from: number, to: number, text: string): Promise<void> {
    const document = this.#documents.get(uri)!
    const change = { range: { start: document.positionAt(from), end: document.positionAt(to) }, text }
    const version = document.version + 1
    TextDocument.update(document, [change], version)
    const params = { textDocument: { uri, version }, contentChanges: [change] }
    await this.connection.sendNotification(DidChangeTextDocumentNotification.type, params)
  }

  /** Types at an offset; the cursor is behind it then. */
  async type(uri: string, at: number, text: string): Promise<number> {
    await this.edit(uri, at, at, text)
    return at + text.length
  }

  /** Asks for completions at an offset. */
  async complete(
    uri: string,
    offset: number,
    { invoked = false, token }: { invoked?: boolean; token?: Parameters<ProtocolConnection['sendRequest']>[2] } = {},
  ): Promise<InlineCompletionItem[]> {
    const triggerKind = invoked ? InlineCompletionTriggerKind.Invoked : InlineCompletionTriggerKind.Automatic
    const position = this.#documents.get(uri)!.positionAt(offset)
    const params = { textDocument: { uri }, position, context: { triggerKind } }
    const found = await (token
      ? this.connection.sendRequest(InlineCompletionRequest.type, params, token as never)
      : this.connection.sendRequest(InlineCompletionRequest.type, params))
    return Array.isArray(found) ? found : (found?.items ?? [])
  }

  /** The text of the first completion, or ''. */
  async ghost(uri: string, offset: number, options: { invoked?: boolean } = {}): Promise<string> {
    return textOf((await this.complete(uri, offset, options))[0])
  }

  trace(): Promise<readonly TraceEntry[]> {
    return this.connection.sendRequest('incipit/trace')
  }

  async quit(): Promise<number | null> {
    const gone = new Promise<number | null>((resolve) => this.process.once('exit', resolve))
    if (this.process.exitCode !== null || this.process.signalCode !== null) return this.process.exitCode
    await this.connection.sendRequest(ShutdownRequest.type)
    await this.connection.sendNotification(ExitNotification.type)
    const code = await gone
    this.connection.dispose()
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.quit()
  }
}

export function textOf(item: InlineCompletionItem | undefined): string {
  if (!item) return ''
  return typeof item.insertText === 'string' ? item.insertText : item.insertText.value
}
