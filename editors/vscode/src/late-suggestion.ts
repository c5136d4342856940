import { commands, type Disposable, InlineCompletionTriggerKind, type TextDocument, window, workspace } from 'vscode'
import type { Middleware } from 'vscode-languageclient/node'
import type { Status } from './status-bar'

/** Where something was typed last: offsets of the document as it is now. */
interface Typed {
  readonly document: TextDocument
  readonly from: number
  readonly to: number
}

/**
 * Asks for what nobody could complete when it was typed. VS Code asks at keystrokes only: while the server starts there is
 * nobody, and when the engine is there it has asked already.
 */
export class LateSuggestion implements Disposable {
  readonly #events: Disposable
  #typed: readonly Typed[] = typedBefore()
  #ready = false
  #asking = false

  constructor() {
    this.#events = workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (contentChanges.length === 0) return
      this.#typed = contentChanges.map(({ rangeOffset: from, text }) => ({ document, from, to: from + text.length }))
    })
  }

  /** The command of VS Code asks as a user would, whom nothing is held back from: this is as if it had asked by itself. */
  readonly provideInlineCompletionItems: NonNullable<Middleware['provideInlineCompletionItems']> = (
    document,
    position,
    context,
    token,
    next,
  ) => {
    const triggerKind = this.#asking ? InlineCompletionTriggerKind.Automatic : context.triggerKind
    return next(document, position, { ...context, triggerKind }, token)
  }

  told({ state }: Pick<Status, 'state'>): void {
    const ready = state === 'ready' || state === 'working'
    if (ready && !this.#ready && this.#restsWhereItTyped()) void this.#ask()
    this.#ready = ready
  }

  dispose(): void {
    this.#events.dispose()
  }

  async #ask(): Promise<void> {
    this.#asking = true
    await commands.executeCommand('editor.action.inlineSuggest.trigger')
    this.#asking = false
  }

  /** Whether the caret is in, or at the end of, what was typed last: between the two brackets of a pair, say. */
  #restsWhereItTyped(): boolean {
    const editor = window.activeTextEditor
    if (!editor?.selection.isEmpty) return false
    const caret = editor.document.offsetAt(editor.selection.active)
    return this.#typed.some(({ document, from, to }) => document === editor.document && from <= caret && caret <= to)
  }
}

/** Somebody may type before this extension is started, and knows where only by then. */
function typedBefore(): Typed[] {
  const editor = window.activeTextEditor
  if (!editor?.document.isDirty) return []
  const caret = editor.document.offsetAt(editor.selection.active)
  return [{ document: editor.document, from: caret, to: caret }]
}
