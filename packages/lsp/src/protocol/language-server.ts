import {
  CodeActionKind,
  type CompletionList,
  type Connection,
  DidChangeConfigurationNotification,
  type InitializeParams,
  type InitializeResult,
  type InlineCompletionItem,
  InlineCompletionTriggerKind,
  type Position,
  type SelectedCompletionInfo,
  TextDocumentSyncKind,
  TextDocuments,
} from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { Backend } from '../backends/backend.ts'
import type { RelatedChunk } from '../context/fim-format.ts'
import { lineEnd } from '../context/prompt-window.ts'
import { type OpenFile, relatedChunks } from '../context/related-files.ts'
import { isSecretFile, withoutSecrets } from '../context/secrets.ts'
import { type Change, changingDocuments, unfitReason } from '../documents/documents.ts'
import { DocumentSession, type SessionHost, type Suggestion, type Work } from '../sessions/document-session.ts'
import type { EditHost } from '../sessions/next-edits.ts'
import { backendSettings, defaultSettings, type Settings, settingsFrom } from '../settings.ts'
import { calibrationOf } from '../suggest/calibrations.ts'
import { type Insertion, insertionOf, styleOf } from '../suggest/insertion.ts'
import { Trace } from '../trace.ts'
import { signalOf } from './cancellation.ts'
import { inlineItem, listItem } from './items.ts'
import {
  acceptedCommand,
  configureRequest,
  contextNotification,
  cursorNotification,
  type ModelChoice,
  modelsRequest,
  rejectedCommand,
  type Status,
  statsRequest,
  statusNotification,
  traceRequest,
} from './messages.ts'
import { NextEditProvider } from './next-edit-provider.ts'
import { Workspace } from './workspace.ts'

export interface LanguageServerOptions {
  readonly version: string
  /**
   * Where completions come from, for these settings.
   * @throws for a model that is not there, a server that does not answer
   */
  readonly openBackend: (settings: Settings, log: (message: string) => void) => Promise<Backend>
  /** Models that can be chosen. */
  readonly models: () => Promise<readonly ModelChoice[]>
}

// Sessions that stay open: each keeps the beginning of a document computed.
const maxSessions = 4
const section = 'incipit'

/** A language server over a connection; it listens when `listen` is called on that. */
export class LanguageServer {
  readonly #connection: Connection
  readonly #options: LanguageServerOptions
  readonly #documents: TextDocuments<TextDocument>
  readonly #sessions = new Map<string, DocumentSession>()
  /** Where the cursor of each document was last, and when. */
  readonly #cursors = new Map<string, { offset: number; touched: number }>()
  readonly #trace = new Trace()
  readonly #nextEdits: NextEditProvider
  #workspace = new Workspace([])
  #settings = defaultSettings
  /** Changed by a command, for this session. */
  #overrides: Readonly<Record<string, unknown>> = {}
  #initial: unknown
  #asksConfiguration = false
  #editorContext: readonly RelatedChunk[] = []
  #backend: Backend | undefined
  #loading: Promise<void> | undefined
  #failure: string | undefined
  #working = 0
  readonly #stats = { completions: 0, saidTokens: 0, promptTokens: 0, cachedTokens: 0 }
  #firstMs: number | undefined
  #shown = 0
  #accepted = 0
  #touches = 0
  #lastTouched = ''
  #lastId = 0

  constructor(connection: Connection, options: LanguageServerOptions) {
    this.#connection = connection
    this.#options = options
    this.#documents = new TextDocuments(changingDocuments((document, changes) => this.#changed(document, changes)))
    this.#documents.listen(connection)
    this.#documents.onDidClose(({ document }) => {
      this.#close(document.uri)
      this.#cursors.delete(document.uri)
    })
    this.#documents.onDidOpen(({ document }) => this.#touch(document.uri, 0))
    connection.onInitialize((params) => this.#initialize(params))
    connection.onInitialized(() => void this.#initialized())
    connection.onDidChangeConfiguration(({ settings }) => void this.#configure(settings?.[section]))
    connection.languages.inlineCompletion.on(async ({ textDocument, position, context }, token) => {
      const invoked = context.triggerKind === InlineCompletionTriggerKind.Invoked
      const signal = signalOf(token)
      const selected = context.selectedCompletionInfo
      return this.#inline(textDocument.uri, position, { invoked, signal, ...(selected && { selected }) })
    })
    connection.onCompletion(async ({ textDocument, position }, token) =>
      this.#completion(textDocument.uri, position, signalOf(token)),
    )
    connection.onExecuteCommand(({ command, arguments: given = [] }) => {
      if (command === rejectedCommand) this.#nextEdits.reject(given[0])
      if (command !== acceptedCommand) return
      this.#accepted++
      this.#tell()
    })
    this.#nextEdits = new NextEditProvider(connection, {
      document: (uri) => {
        const document = this.#documents.get(uri)
        return document && this.#silenceAbout(document) === undefined ? document : undefined
      },
      host: () => this.#editHost(),
      answered: (uri, entry) => {
        if (entry.shown !== '') this.#shown++
        this.#trace.add({ at: new Date().toISOString(), path: this.#workspace.pathOf(uri), ...entry })
      },
    })
    connection.onNotification(cursorNotification, ({ uri, position }) => this.#moved(uri, position))
    connection.onNotification(contextNotification, ({ chunks }) => {
      this.#editorContext = chunks.map(({ source, text }) => ({ source, text: withoutSecrets(text) }))
    })
    connection.onRequest(traceRequest, () => this.#trace.entries)
    connection.onRequest(statsRequest, () => this.#stats)
    connection.onRequest(modelsRequest, () => options.models())
    connection.onRequest(configureRequest, async (changes) => {
      this.#overrides = { ...this.#overrides, ...changes }
      await this.#configure()
      return null
    })
    connection.onShutdown(() => this.close())
  }

  /** Ends the engine, where it is ours. */
  async close(): Promise<void> {
    for (const uri of [...this.#sessions.keys()]) this.#close(uri)
    await this.#loading
    const backend = this.#backend
    this.#backend = undefined
    await backend?.close()
  }

  #initialize({ capabilities, workspaceFolders, rootUri, initializationOptions }: InitializeParams): InitializeResult {
    this.#initial = initializationOptions
    this.#asksConfiguration = capabilities.workspace?.configuration === true
    const folders = workspaceFolders?.map(({ uri }) => uri) ?? (rootUri ? [rootUri] : [])
    this.#workspace = new Workspace(folders)
    return {
      serverInfo: { name: 'incipit', version: this.#options.version },
      capabilities: {
        textDocumentSync: { openClose: true, change: TextDocumentSyncKind.Incremental },
        inlineCompletionProvider: {},
        // For editors that show no inline completions. No trigger characters: they would open a list at each of them.
        ...(capabilities.textDocument?.inlineCompletion ? {} : { completionProvider: {} }),
        codeActionProvider: { codeActionKinds: [CodeActionKind.RefactorRewrite] },
        executeCommandProvider: { commands: [acceptedCommand, rejectedCommand] },
      },
    }
  }

  async #initialized(): Promise<void> {
    if (this.#asksConfiguration) {
      await this.#connection.client
        .register(DidChangeConfigurationNotification.type, { section })
        .catch(() => undefined)
    }
    await this.#configure()
  }

  // --- settings and back end ----------------------------------------------------------------------------------------

  async #configure(pushed?: unknown): Promise<void> {
    const asked = this.#asksConfiguration
      ? await this.#connection.workspace.getConfiguration(section).catch(() => undefined)
      : undefined
    const given = { ...object(this.#initial), ...object(pushed), ...object(asked), ...this.#overrides }
    const { settings, problems } = settingsFrom(given)
    for (const problem of problems) this.#connection.window.showWarningMessage(`incipit: ${problem}`)
    const before = this.#settings
    this.#settings = settings
    const another = backendSettings.some((name) => before[name] !== settings[name])
    if (!settings.enabled || another) await this.#leaveBackend()
    if (settings.enabled) await this.#load()
    this.#tell()
  }

  async #load(): Promise<void> {
    if (this.#backend || this.#loading) return this.#loading
    this.#failure = undefined
    const log = (message: string) => this.#connection.console.log(message)
    const settings = this.#settings
    this.#loading = this.#options.openBackend(settings, log).then(
      (backend) => {
        this.#loading = undefined
        this.#backend = backend
        void backend.gone?.then(() => this.#lost(backend))
        for (const [uri, { offset }] of this.#cursors) this.#sessionOf(uri)?.follow(offset)
      },
      (error: unknown) => {
        this.#loading = undefined
        this.#failure = error instanceof Error ? error.message : String(error)
        this.#connection.console.error(`incipit: ${this.#failure}`)
      },
    )
    this.#tell()
    await this.#loading
    this.#tell()
  }

  /** Whoever had the engine is gone: another one takes its place, and nobody notices but for a missing suggestion. */
  async #lost(backend: Backend): Promise<void> {
    if (this.#backend !== backend) return
    await this.#leaveBackend()
    await this.#load()
  }

  async #leaveBackend(): Promise<void> {
    await this.#loading
    for (const uri of [...this.#sessions.keys()]) this.#close(uri)
    const backend = this.#backend
    this.#backend = undefined
    await backend?.close()
  }

  #status(): Status {
    const failure = this.#failure ?? this.#backend?.failure?.message
    const state = !this.#settings.enabled
      ? 'off'
      : failure !== undefined
        ? 'failed'
        : !this.#backend
          ? 'loading'
          : this.#working > 0
            ? 'working'
            : 'ready'
    return {
      state,
      model: this.#backend?.model ?? this.#settings.model,
      shown: this.#shown,
      accepted: this.#accepted,
      ...(failure !== undefined && { message: failure }),
      ...(this.#firstMs !== undefined && { firstMs: this.#firstMs }),
    }
  }

  #tell(): void {
    // Editors that do not know it complain.
    if (object(this.#initial).status !== true) return
    // An editor that has left does not want to know.
    const tell = async () => this.#connection.sendNotification(statusNotification, this.#status())
    tell().catch(() => {})
  }

  // --- documents ----------------------------------------------------------------------------------------------------

  #changed(document: TextDocument, changes: readonly Change[]): void {
    const { uri } = document
    const session = this.#sessions.get(uri)
    for (const { from, to, inserted } of changes) session?.changed(from, to, inserted.length)
    if (this.#silenceAbout(document) === undefined) this.#nextEdits.changed(uri, changes)
    const last = changes.at(-1)
    if (!last) return
    const cursor = last.from + last.inserted.length
    this.#touch(uri, cursor)
    // The documents hand the new one out only after this.
    queueMicrotask(() => this.#sessionOf(uri)?.follow(Math.min(cursor, document.getText().length)))
  }

  #moved(uri: string, position: Position): void {
    const document = this.#documents.get(uri)
    if (!document) return
    const offset = document.offsetAt(position)
    this.#touch(uri, offset)
    this.#sessionOf(uri)?.follow(offset)
  }

  #touch(uri: string, offset: number): void {
    // Somebody comes from another file: what was seen there may help here.
    if (uri !== this.#lastTouched) this.#sessions.get(uri)?.forgetRelated()
    this.#lastTouched = uri
    this.#cursors.set(uri, { offset, touched: ++this.#touches })
  }

  /** The session of a document that gets completions; the one that was used longest ago makes room. */
  #sessionOf(uri: string): DocumentSession | undefined {
    const document = this.#documents.get(uri)
    const backend = this.#backend
    if (!document || !backend || this.#silenceAbout(document) !== undefined) return undefined
    const path = this.#workspace.pathOf(uri)
    const session =
      this.#sessions.get(uri) ??
      new DocumentSession(() => this.#documents.get(uri) ?? document, path, this.#hostOf(uri, backend))
    this.#sessions.delete(uri)
    this.#sessions.set(uri, session)
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= maxSessions) break
      this.#close(oldest)
    }
    return session
  }

  #hostOf(uri: string, backend: Backend): SessionHost {
    const server = this
    return {
      backend,
      get settings() {
        return server.#settings
      },
      calibrate: calibrationOf(backend.model),
      related: (cursor, budget) => this.#related(uri, cursor, budget),
      began: () => this.#work(1),
      ended: (work) => this.#worked(work),
    }
  }

  #editHost(): EditHost | undefined {
    const backend = this.#backend
    const settings = this.#settings
    if (!backend || !settings.enabled || !settings.nextEdits) return undefined
    return { backend, settings, began: () => this.#work(1), ended: (work) => this.#worked(work) }
  }

  #worked({ firstMs, saidTokens, promptTokens, cachedTokens }: Work): void {
    this.#stats.completions++
    this.#stats.saidTokens += saidTokens
    this.#stats.promptTokens += promptTokens
    this.#stats.cachedTokens += cachedTokens
    this.#work(-1, firstMs)
  }

  #work(more: 1 | -1, firstMs?: number): void {
    this.#working += more
    this.#firstMs = firstMs ?? this.#firstMs
    this.#tell()
  }

  #close(uri: string): void {
    this.#sessions.get(uri)?.close()
    this.#sessions.delete(uri)
  }

  #silenceAbout(document: TextDocument): string | undefined {
    if (isSecretFile(this.#workspace.pathOf(document.uri))) return 'the file holds secrets'
    return unfitReason(document)
  }

  #related(uri: string, cursor: number, budget: number): readonly RelatedChunk[] {
    const own = this.#documents.get(uri)
    if (!own) return []
    const files: OpenFile[] = this.#documents
      .all()
      .filter((other) => other.uri !== uri && this.#workspace.isContext(other.uri) && !this.#silenceAbout(other))
      .map((other) => {
        const { offset = 0, touched = 0 } = this.#cursors.get(other.uri) ?? {}
        return { path: this.#workspace.pathOf(other.uri), text: other.getText(), cursor: offset, touched }
      })
    const told = this.#editorContext.filter(({ text }) => text.trim() !== '' && text.length < budget / 4)
    const left = budget - told.reduce((sum, { text, source }) => sum + text.length + source.length, 0)
    const current = { path: this.#workspace.pathOf(uri), text: own.getText(), cursor }
    return [...relatedChunks(current, files, left), ...told]
  }

  // --- completions --------------------------------------------------------------------------------------------------

  async #inline(
    uri: string,
    position: Position,
    { selected, ...asked }: { invoked: boolean; signal: AbortSignal; selected?: SelectedCompletionInfo },
  ): Promise<InlineCompletionItem[]> {
    // With an entry of a completion list selected, the cursor is where that begins, and the entry stands there.
    const from = selected?.range.start ?? position
    const found = await this.#suggest(uri, from, { ...asked, ...(selected && { selected: selected.text }) })
    return found.map((insertion) => inlineItem(insertion, from, selected, ++this.#lastId))
  }

  async #completion(uri: string, position: Position, signal: AbortSignal): Promise<CompletionList> {
    const found = await this.#suggest(uri, position, { invoked: false, signal })
    const document = this.#documents.get(uri)
    if (!document) return { isIncomplete: true, items: [] }
    return {
      isIncomplete: true,
      items: found.map((insertion) => listItem(insertion, document, position, ++this.#lastId)),
    }
  }

  async #suggest(
    uri: string,
    position: Position,
    asked: { readonly invoked: boolean; readonly signal: AbortSignal; readonly selected?: string },
  ): Promise<Insertion[]> {
    const started = performance.now()
    const document = this.#documents.get(uri)
    if (!document) return []
    const cursor = document.offsetAt(position)
    this.#touch(uri, cursor)
    const session = this.#sessionOf(uri)
    const silence = this.#silenceAbout(document) ?? (session ? undefined : `the server is ${this.#status().state}`)
    const found = session && silence === undefined ? await session.suggest(cursor, asked) : []
    const entry = { at: new Date().toISOString(), path: this.#workspace.pathOf(uri), position }
    const ms = performance.now() - started
    if (silence !== undefined) this.#trace.add({ ...entry, source: 'none', silence, shown: '', ms })
    for (const { text, trace } of found) this.#trace.add({ ...entry, ...trace, shown: text, ms })
    const text = document.getText()
    const restOfLine = asked.selected === undefined ? text.slice(cursor, lineEnd(text, cursor)) : ''
    const insertions = found
      .filter(({ text }: Suggestion) => text !== '')
      .map((suggestion) => insertionOf(suggestion.text, { restOfLine }, styleOf(text)))
    if (insertions.length > 0) this.#shown++
    return insertions
  }
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
