import { setTimeout as sleep } from 'node:timers/promises'
import {
  CodeActionKind,
  type Connection,
  DidChangeConfigurationNotification,
  type InitializeParams,
  type InitializeResult,
  TextDocumentSyncKind,
} from 'vscode-languageserver'
import type { Backend } from '../backends/backend.ts'
import { withoutSecrets } from '../context/secrets.ts'
import { record } from '../record.ts'
import type { EditHost } from '../sessions/next-edits.ts'
import { type Settings, settingsFrom } from '../settings.ts'
import { Trace, type TraceEntry } from '../trace.ts'
import { Activity } from './activity.ts'
import { CompletionProvider } from './completion-provider.ts'
import { ConfiguredBackend } from './configured-backend.ts'
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
import { OpenDocuments } from './open-documents.ts'
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

const section = 'incipit'
const configurationTries = 3
const configurationMs = 1000

/** A language server over a connection; it listens when `listen` is called on that. */
export class LanguageServer {
  readonly #connection: Connection
  readonly #options: LanguageServerOptions
  readonly #activity = new Activity(() => this.#tell())
  readonly #backend: ConfiguredBackend
  readonly #documents: OpenDocuments
  readonly #nextEdits: NextEditProvider
  readonly #trace = new Trace()
  #workspace = new Workspace([])
  /** Changed by a command, for this session. */
  #overrides: Readonly<Record<string, unknown>> = {}
  #initial: unknown
  #asksConfiguration = false

  constructor(connection: Connection, options: LanguageServerOptions) {
    this.#connection = connection
    this.#options = options
    this.#backend = new ConfiguredBackend({
      open: (settings) => options.openBackend(settings, (message) => connection.console.log(message)),
      onOpened: () => this.#documents.followAll(),
      onLeaving: () => this.#documents.closeSessions(),
      onFailure: (message) => connection.console.error(`incipit: ${message}`),
      onChange: () => this.#tell(),
    })
    this.#documents = this.#openDocuments()
    this.#nextEdits = new NextEditProvider(connection, {
      document: (uri) => {
        const document = this.#documents.get(uri)
        return document && this.#documents.silenceAbout(document) === undefined ? document : undefined
      },
      host: () => this.#editHost(),
      answered: (uri, entry) => {
        if (entry.shown !== '') this.#activity.shown()
        this.#answered(uri, entry)
      },
    })
    new CompletionProvider(connection, {
      documents: this.#documents,
      backend: this.#backend,
      activity: this.#activity,
      answered: (uri, entry) => this.#answered(uri, entry),
    })
    connection.onInitialize((params) => this.#initialize(params))
    connection.onInitialized(() => void this.#initialized())
    connection.onDidChangeConfiguration(({ settings }) => void this.#configure(settings?.[section]))
    connection.onExecuteCommand(({ command, arguments: given = [] }) => {
      if (command === rejectedCommand) this.#nextEdits.reject(given[0])
      if (command === acceptedCommand) this.#activity.accepted()
    })
    this.#listenToOwn()
    connection.onShutdown(() => this.close())
  }

  /** Ends the engine, where it is ours. */
  close(): Promise<void> {
    return this.#backend.close()
  }

  #openDocuments(): OpenDocuments {
    const server = this
    return new OpenDocuments(this.#connection, {
      get workspace() {
        return server.#workspace
      },
      get settings() {
        return server.#backend.settings
      },
      get backend() {
        return server.#backend.backend
      },
      work: this.#activity,
      edited: (uri, changes) => this.#nextEdits.changed(uri, changes),
    })
  }

  /** What is no part of the protocol. */
  #listenToOwn(): void {
    const connection = this.#connection
    connection.onNotification(cursorNotification, ({ uri, position }) => this.#documents.moved(uri, position))
    connection.onNotification(contextNotification, ({ chunks }) => {
      this.#documents.know(chunks.map(({ source, text }) => ({ source, text: withoutSecrets(text) })))
    })
    connection.onRequest(traceRequest, () => this.#trace.entries)
    connection.onRequest(statsRequest, () => this.#activity.stats)
    connection.onRequest(modelsRequest, () => this.#options.models())
    connection.onRequest(configureRequest, async (changes) => {
      this.#overrides = { ...this.#overrides, ...changes }
      await this.#configure()
      return null
    })
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

  async #configure(pushed?: unknown): Promise<void> {
    const asked = this.#asksConfiguration ? await this.#askConfiguration() : undefined
    const given = { ...record(this.#initial), ...record(pushed), ...record(asked), ...this.#overrides }
    const { settings, problems } = settingsFrom(given)
    for (const problem of problems) this.#connection.window.showWarningMessage(`incipit: ${problem}`)
    await this.#backend.apply(settings)
  }

  /** Asked again where no answer comes: lsp-mode loses a request that arrives together with an answer it waits for. */
  async #askConfiguration(): Promise<unknown> {
    for (let tries = 0; tries < configurationTries; tries++) {
      const asked = this.#connection.workspace.getConfiguration(section).then(
        (settings: unknown) => ({ settings }),
        () => ({ settings: undefined }),
      )
      const answer = await Promise.race([asked, sleep(configurationMs, undefined, { ref: false })])
      if (answer) return answer.settings
    }
    return undefined
  }

  #editHost(): EditHost | undefined {
    const { backend, settings } = this.#backend
    if (!backend || !settings.enabled || !settings.nextEdits) return undefined
    const activity = this.#activity
    return { backend, settings, began: () => activity.began(), ended: (work) => activity.ended(work) }
  }

  #answered(uri: string, entry: Omit<TraceEntry, 'at' | 'path'>): void {
    this.#trace.add({ at: new Date().toISOString(), path: this.#workspace.pathOf(uri), ...entry })
  }

  #tell(): void {
    // Editors that do not know it complain.
    if (record(this.#initial).status !== true) return
    const { state, backend, settings, failure: message } = this.#backend
    const status: Status = {
      state: state === 'ready' && this.#activity.working ? 'working' : state,
      model: backend?.model ?? settings.model,
      ...this.#activity.counts,
      ...(message !== undefined && { message }),
    }
    // An editor that has left does not want to know.
    const tell = async () => this.#connection.sendNotification(statusNotification, status)
    tell().catch(() => {})
  }
}
