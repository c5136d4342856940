import {
  type CompletionList,
  type Connection,
  type InlineCompletionItem,
  InlineCompletionTriggerKind,
  type Position,
  type SelectedCompletionInfo,
} from 'vscode-languageserver'
import { lineEnd } from '../documents/line-text.ts'
import { type Insertion, insertionOf, styleOf } from '../suggest/insertion.ts'
import type { TraceEntry } from '../trace.ts'
import type { Activity } from './activity.ts'
import { signalOf } from './cancellation.ts'
import type { ConfiguredBackend } from './configured-backend.ts'
import { inlineItem, listItem } from './items.ts'
import type { OpenDocuments } from './open-documents.ts'

export interface CompletionSource {
  readonly documents: OpenDocuments
  readonly backend: ConfiguredBackend
  readonly activity: Activity
  /** A request was answered. */
  answered(uri: string, entry: Omit<TraceEntry, 'at' | 'path'>): void
}

interface Asked {
  readonly invoked: boolean
  readonly signal: AbortSignal
  /** Text that stands there as if it were typed. */
  readonly selected?: string
}

/** Completions: inline, and in the list of editors that show nothing inline. */
export class CompletionProvider {
  readonly #source: CompletionSource
  #lastId = 0

  constructor(connection: Connection, source: CompletionSource) {
    this.#source = source
    connection.languages.inlineCompletion.on(async ({ textDocument: { uri }, position, context }, token) => {
      const invoked = context.triggerKind === InlineCompletionTriggerKind.Invoked
      return this.#inline(uri, position, context.selectedCompletionInfo, { invoked, signal: signalOf(token) })
    })
    connection.onCompletion(async ({ textDocument: { uri }, position }, token) =>
      this.#list(uri, position, { invoked: false, signal: signalOf(token) }),
    )
  }

  async #inline(
    uri: string,
    position: Position,
    selected: SelectedCompletionInfo | undefined,
    asked: Asked,
  ): Promise<InlineCompletionItem[]> {
    if (!(await this.#isReady(uri, asked.signal))) return []
    // With an entry of a completion list selected, the cursor is where that begins, and the entry stands there.
    const from = selected?.range.start ?? position
    const found = await this.#suggest(uri, from, { ...asked, ...(selected && { selected: selected.text }) })
    return found.map((insertion) => inlineItem(insertion, from, selected, ++this.#lastId))
  }

  /**
   * An editor asks once where nothing is typed any more: while the engine is loaded the request waits. (A list is asked for
   * at every key, and some editors show no other entries while they wait for ours.)
   * @returns false where the request is for a text that is no more
   */
  async #isReady(uri: string, signal: AbortSignal): Promise<boolean> {
    const { backend, documents } = this.#source
    if (backend.backend) return true
    const version = documents.get(uri)?.version
    await backend.settled(signal)
    return !signal.aborted && documents.get(uri)?.version === version
  }

  async #list(uri: string, position: Position, asked: Asked): Promise<CompletionList> {
    const found = await this.#suggest(uri, position, asked)
    const document = this.#source.documents.get(uri)
    if (!document) return { isIncomplete: true, items: [] }
    return {
      isIncomplete: true,
      items: found.map((insertion) => listItem(insertion, document, position, ++this.#lastId)),
    }
  }

  async #suggest(uri: string, position: Position, asked: Asked): Promise<Insertion[]> {
    const started = performance.now()
    const { documents, backend, activity } = this.#source
    const document = documents.get(uri)
    if (!document) return []
    const cursor = document.offsetAt(position)
    documents.touch(uri, cursor)
    const session = documents.session(uri)
    const silence = documents.silenceAbout(document) ?? (session ? undefined : `the server is ${backend.state}`)
    const found = session && silence === undefined ? await session.suggest(cursor, asked) : []
    const ms = performance.now() - started
    if (silence !== undefined) this.#source.answered(uri, { position, source: 'none', silence, shown: '', ms })
    for (const { text, trace } of found) this.#source.answered(uri, { position, ...trace, shown: text, ms })
    const text = document.getText()
    const restOfLine = asked.selected === undefined ? text.slice(cursor, lineEnd(text, cursor)) : ''
    const style = styleOf(text)
    const shown = found.filter((suggestion) => suggestion.text !== '')
    if (shown.length > 0) activity.shown()
    return shown.map((suggestion) => insertionOf(suggestion.text, { restOfLine }, style))
  }
}
