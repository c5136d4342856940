import { type Connection, type Position, TextDocuments } from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { Backend } from '../backends/backend.ts'
import type { RelatedChunk } from '../context/fim-format.ts'
import { type OpenFile, relatedChunks } from '../context/related-files.ts'
import { isSecretFile } from '../context/secrets.ts'
import { type Change, changingDocuments, unfitReason } from '../documents/documents.ts'
import { DocumentSession, type SessionHost } from '../sessions/document-session.ts'
import type { WorkListener } from '../sessions/work.ts'
import type { Settings } from '../settings.ts'
import { calibrationOf } from '../suggest/calibrations.ts'
import type { Workspace } from './workspace.ts'

/** What open documents need around them. */
export interface DocumentsHost {
  readonly workspace: Workspace
  readonly settings: Settings
  readonly backend: Backend | undefined
  readonly work: WorkListener
  /** A document that gets completions was changed. */
  edited(uri: string, changes: readonly Change[]): void
}

// Sessions that stay open: each keeps the beginning of a document computed.
const maxSessions = 4

/** The documents that an editor has open, mirrored by incremental changes, and a session for each that was used last. */
export class OpenDocuments {
  readonly #host: DocumentsHost
  readonly #documents: TextDocuments<TextDocument>
  readonly #sessions = new Map<string, DocumentSession>()
  /** Where the cursor of each document was last, and when. */
  readonly #cursors = new Map<string, { offset: number; touched: number }>()
  #touches = 0
  #lastTouched = ''
  /** What only the editor knows, and the document that its prompts have it of. */
  #editorContext: readonly RelatedChunk[] = []
  #knownIn = ''

  constructor(connection: Connection, host: DocumentsHost) {
    this.#host = host
    this.#documents = new TextDocuments(changingDocuments((document, changes) => this.#changed(document, changes)))
    this.#documents.listen(connection)
    this.#documents.onDidOpen(({ document }) => this.touch(document.uri, 0))
    this.#documents.onDidClose(({ document }) => {
      this.#close(document.uri)
      this.#cursors.delete(document.uri)
    })
  }

  get(uri: string): TextDocument | undefined {
    return this.#documents.get(uri)
  }

  /** Why a document gets nothing, where it gets nothing. */
  silenceAbout(document: TextDocument): string | undefined {
    if (isSecretFile(this.#host.workspace.pathOf(document.uri))) return 'the file holds secrets'
    return unfitReason(document)
  }

  /** Somebody works at this place. */
  touch(uri: string, offset: number): void {
    // Somebody comes from another file: what was seen there may help here.
    if (uri !== this.#lastTouched) {
      this.#sessions.get(uri)?.forgetRelated()
      this.#knownIn = ''
    }
    this.#lastTouched = uri
    this.#cursors.set(uri, { offset, touched: ++this.#touches })
  }

  /** The cursor is here now: what stands before it is computed. */
  moved(uri: string, position: Position): void {
    const document = this.#documents.get(uri)
    if (!document) return
    const offset = document.offsetAt(position)
    this.touch(uri, offset)
    this.session(uri)?.follow(offset)
  }

  /**
   * What only the editor knows. An editor gathers that when somebody rests: its first word of a document changes what is
   * computed already, later ones are for the next occasion.
   */
  know(chunks: readonly RelatedChunk[]): void {
    this.#editorContext = chunks
    const uri = this.#lastTouched
    const cursor = this.#cursors.get(uri)
    if (this.#knownIn === uri || !cursor) return
    this.#knownIn = uri
    const session = this.session(uri)
    session?.forgetRelated()
    session?.follow(cursor.offset)
  }

  /** There is a back end: what stands before all cursors is computed. */
  followAll(): void {
    for (const [uri, { offset }] of this.#cursors) this.session(uri)?.follow(offset)
  }

  /** The session of a document that gets completions; the one that was used longest ago makes room. */
  session(uri: string): DocumentSession | undefined {
    const document = this.#documents.get(uri)
    const { backend, workspace } = this.#host
    if (!document || !backend || this.silenceAbout(document) !== undefined) return undefined
    const session =
      this.#sessions.get(uri) ??
      new DocumentSession(
        () => this.#documents.get(uri) ?? document,
        workspace.pathOf(uri),
        this.#sessionHost(uri, backend),
      )
    this.#sessions.delete(uri)
    this.#sessions.set(uri, session)
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= maxSessions) break
      this.#close(oldest)
    }
    return session
  }

  /** Ends all sessions: their back end goes. */
  closeSessions(): void {
    for (const uri of [...this.#sessions.keys()]) this.#close(uri)
  }

  #close(uri: string): void {
    this.#sessions.get(uri)?.close()
    this.#sessions.delete(uri)
  }

  #changed(document: TextDocument, changes: readonly Change[]): void {
    const { uri } = document
    const session = this.#sessions.get(uri)
    for (const { from, to, inserted } of changes) session?.changed(from, to, inserted.length)
    if (this.silenceAbout(document) === undefined) this.#host.edited(uri, changes)
    const last = changes.at(-1)
    if (!last) return
    const cursor = last.from + last.inserted.length
    this.touch(uri, cursor)
    // The documents hand the new one out only after this.
    queueMicrotask(() => this.session(uri)?.follow(Math.min(cursor, document.getText().length)))
  }

  #sessionHost(uri: string, backend: Backend): SessionHost {
    const host = this.#host
    return {
      backend,
      get settings() {
        return host.settings
      },
      calibrate: calibrationOf(backend.model),
      related: (cursor, budget) => this.#related(uri, cursor, budget),
      began: () => host.work.began(),
      ended: (work) => host.work.ended(work),
    }
  }

  #related(uri: string, cursor: number, budget: number): readonly RelatedChunk[] {
    const own = this.#documents.get(uri)
    if (!own) return []
    const { workspace } = this.#host
    const files: OpenFile[] = this.#documents
      .all()
      .filter((other) => other.uri !== uri && workspace.isContext(other.uri) && !this.silenceAbout(other))
      .map((other) => {
        const { offset = 0, touched = 0 } = this.#cursors.get(other.uri) ?? {}
        return { path: workspace.pathOf(other.uri), text: other.getText(), cursor: offset, touched }
      })
    const told = this.#editorContext.filter(({ text }) => text.trim() !== '' && text.length < budget / 4)
    const left = budget - told.reduce((sum, { text, source }) => sum + text.length + source.length, 0)
    const current = { path: workspace.pathOf(uri), text: own.getText(), cursor }
    return [...relatedChunks(current, files, left), ...told]
  }
}
