import { commands, type Disposable, type TextDocument, window, workspace } from 'vscode'

/**
 * VS Code asks once for what comes behind something typed, of whoever listens then. What was typed while the server was
 * started is asked for when it is there.
 */
export class MissedRequest implements Disposable {
  #typed: TextDocument | undefined
  readonly #events: Disposable

  constructor() {
    this.#events = workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (contentChanges.length > 0) this.#typed = document
    })
  }

  /** Somebody listens now. */
  async repeat(): Promise<void> {
    this.dispose()
    if (!this.#typed || window.activeTextEditor?.document !== this.#typed) return
    await commands.executeCommand('editor.action.inlineSuggest.trigger', { explicit: false })
  }

  dispose(): void {
    this.#events.dispose()
  }
}
