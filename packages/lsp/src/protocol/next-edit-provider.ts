import {
  type CodeAction,
  CodeActionKind,
  CodeActionTriggerKind,
  type Connection,
  type Position,
} from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { Change } from '../documents/documents.ts'
import { type EditHost, type NextEdit, NextEdits } from '../sessions/next-edits.ts'
import type { TraceEntry } from '../trace.ts'
import { signalOf } from './cancellation.ts'
import { accepted } from './items.ts'
import { nextEditRequest, type OfferedEdit } from './messages.ts'

/** What the language server knows. */
export interface NextEditSource {
  /** A document that next edits may be offered in. */
  document(uri: string): TextDocument | undefined
  /** Undefined while there is no back end, or none is wanted. */
  host(): EditHost | undefined
  /** A request was answered. */
  answered(uri: string, entry: Omit<TraceEntry, 'at' | 'path'>): void
}

// Ids of the last offers that can still be rejected.
const maxOffers = 20

/** Offers next edits: by a request of their own, and as code actions to editors that know only those. */
export class NextEditProvider {
  readonly #edits = new NextEdits()
  readonly #source: NextEditSource
  readonly #offers = new Map<number, NextEdit>()
  #lastId = 0

  constructor(connection: Connection, source: NextEditSource) {
    this.#source = source
    connection.onRequest(nextEditRequest, async ({ textDocument: { uri }, position }, token) => {
      return (await this.#offer(uri, position, signalOf(token))) ?? null
    })
    connection.onCodeAction(async ({ textDocument: { uri }, range, context }, token) => {
      // Editors look for actions with every move of the cursor, to show that there are some.
      const asked = context.triggerKind !== CodeActionTriggerKind.Automatic
      if (!asked || !(context.only ?? ['']).some(includesRewrites)) return []
      const offer = await this.#offer(uri, range.start, signalOf(token))
      return offer ? [this.#action(offer)] : []
    })
  }

  changed(uri: string, changes: readonly Change[]): void {
    this.#edits.changed(uri, changes)
  }

  reject(id: unknown): void {
    const offer = typeof id === 'number' ? this.#offers.get(id) : undefined
    if (offer) this.#edits.reject(offer)
  }

  async #offer(uri: string, position: Position, signal: AbortSignal): Promise<OfferedEdit | undefined> {
    const document = this.#source.document(uri)
    const host = this.#source.host()
    if (!document || !host) return undefined
    const started = performance.now()
    const { version } = document
    const asked = this.#edits.suggest(document, position.line, host, signal)
    const found = await asked.catch((error: unknown): NextEdit & Pick<TraceEntry, 'silence'> => {
      return { edits: [], key: '', silence: `failed: ${String(error)}` }
    })
    const late = signal.aborted || document.version !== version
    const { edits, key: _key, ...sent } = late ? { ...found, edits: [] } : found
    const shown = edits.map(({ newText }) => newText).join(' … ')
    const ms = performance.now() - started
    // Most of the time nobody is asked anything.
    if (Object.keys(sent).length > 0) this.#source.answered(uri, { position, source: 'edit', shown, ms, ...sent })
    if (edits.length === 0) return undefined
    const id = ++this.#lastId
    this.#offers.set(id, found)
    this.#offers.delete(id - maxOffers)
    return { id, textDocument: { uri, version }, edits }
  }

  #action({ id, textDocument, edits }: OfferedEdit): CodeAction {
    const [first] = edits
    const line = first ? first.range.start.line + 1 : 0
    const what = edits.map(({ newText }) => newText.trim()).filter((text) => text !== '')
    return {
      title: `Next edit, line ${line}: ${[...new Set(what)].join(', ') || 'remove'}`,
      kind: CodeActionKind.RefactorRewrite,
      edit: { documentChanges: [{ textDocument, edits: [...edits] }] },
      command: accepted(id),
    }
  }
}

/** Kinds are paths: `refactor` includes `refactor.rewrite`. */
function includesRewrites(kind: string): boolean {
  return kind === '' || `${CodeActionKind.RefactorRewrite}.`.startsWith(`${kind}.`)
}
