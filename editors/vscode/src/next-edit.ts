import {
  CancellationTokenSource,
  commands,
  type DecorationOptions,
  Disposable,
  Range,
  Selection,
  type TextEditor,
  TextEditorRevealType,
  ThemeColor,
  Uri,
  window,
  workspace,
} from 'vscode'
import type { LanguageClient } from 'vscode-languageclient/node'

// Inline edits are a proposed interface of VS Code (`inlineCompletionsAdditions`, also in 1.139), which published extensions
// may not use. So the change is drawn: what goes is struck through, what comes stands behind it.

interface Offer {
  readonly id: number
  readonly textDocument: { readonly uri: string; readonly version: number }
  readonly edits: readonly { readonly range: LspRange; readonly newText: string }[]
}

interface LspRange {
  readonly start: { readonly line: number; readonly character: number }
  readonly end: { readonly line: number; readonly character: number }
}

const restMs = 300
const visible = 'incipit.nextEditVisible'

/** Asks for the next edit when the writer rests, and shows it until it is taken, dismissed or overtaken. */
export class NextEditView implements Disposable {
  readonly #client: () => LanguageClient | undefined
  readonly #going = window.createTextEditorDecorationType({
    textDecoration: 'line-through',
    backgroundColor: new ThemeColor('diffEditor.removedTextBackground'),
  })
  readonly #coming = window.createTextEditorDecorationType({})
  readonly #events: Disposable
  #timer: NodeJS.Timeout | undefined
  #request: CancellationTokenSource | undefined
  #shown: { readonly editor: TextEditor; readonly offer: Offer } | undefined

  /** @param client undefined while there is none that runs */
  constructor(client: () => LanguageClient | undefined) {
    this.#client = client
    this.#events = Disposable.from(
      workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        const editor = window.activeTextEditor
        if (contentChanges.length === 0 || editor?.document !== document) return
        this.#hide()
        this.#askLater(editor)
      }),
      window.onDidChangeTextEditorSelection(({ textEditor }) => {
        if (this.#shown?.editor === textEditor) this.#draw()
        else this.#askLater(textEditor)
      }),
      window.onDidChangeTextEditorVisibleRanges(({ textEditor }) => {
        if (this.#shown?.editor === textEditor) this.#draw()
      }),
      window.onDidChangeActiveTextEditor((editor) => {
        this.#hide()
        if (editor) this.#askLater(editor)
      }),
    )
  }

  /** Goes to the edit, or makes it where it is in sight. */
  async take(): Promise<void> {
    const shown = this.#shown
    if (!shown) return
    const { editor, offer } = shown
    const ranges = offer.edits.map(({ range }) => rangeOf(range))
    const first = ranges[0]
    if (!first || offer.textDocument.version !== editor.document.version) return
    if (!inSight(editor, first)) {
      editor.selection = new Selection(first.start, first.start)
      editor.revealRange(first, TextEditorRevealType.InCenterIfOutsideViewport)
      return
    }
    this.#hide()
    const made = await editor.edit((builder) => {
      for (const [i, { newText }] of offer.edits.entries()) builder.replace(ranges[i]!, newText)
    })
    if (made) await commands.executeCommand('incipit.accepted', offer.id)
  }

  /** It is not offered again. */
  async dismiss(): Promise<void> {
    const offer = this.#shown?.offer
    this.#hide()
    if (offer) await commands.executeCommand('incipit.rejected', offer.id)
  }

  dispose(): void {
    this.#hide()
    clearTimeout(this.#timer)
    Disposable.from(this.#events, this.#going, this.#coming).dispose()
  }

  #askLater(editor: TextEditor): void {
    this.#request?.cancel()
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#ask(editor), restMs)
  }

  async #ask(editor: TextEditor): Promise<void> {
    const client = this.#client()
    if (!client || !workspace.getConfiguration('incipit').get('nextEdits')) return
    const request = new CancellationTokenSource()
    this.#request = request
    const { document, selection } = editor
    const params = { textDocument: { uri: document.uri.toString() }, position: selection.active }
    const offer = await client
      .sendRequest<Offer | null>('incipit/nextEdit', params, request.token)
      // Nobody misses it.
      .catch(() => null)
    if (!offer || request.token.isCancellationRequested || window.activeTextEditor !== editor) return
    if (offer.textDocument.version !== document.version) return
    if (Uri.parse(offer.textDocument.uri).toString() !== document.uri.toString()) return
    this.#shown = { editor, offer }
    this.#draw()
    await commands.executeCommand('setContext', visible, true)
  }

  #draw(): void {
    if (!this.#shown) return
    const { editor, offer } = this.#shown
    const ranges = offer.edits.map(({ range }) => rangeOf(range))
    editor.setDecorations(
      this.#going,
      ranges.filter((range) => !range.isEmpty),
    )
    const coming = offer.edits.map(({ newText }, i) => behind(ranges[i]!, newText))
    const first = ranges[0]?.start.line ?? 0
    const away = ranges[0] && !inSight(editor, ranges[0])
    const cursor = editor.selection.active.line
    editor.setDecorations(
      this.#coming,
      away
        ? [atEndOf(editor, cursor, `Tab: next edit in line ${first + 1}`)]
        : [...coming, atEndOf(editor, first, 'Tab')],
    )
  }

  #hide(): void {
    this.#request?.cancel()
    if (!this.#shown) return
    const { editor } = this.#shown
    this.#shown = undefined
    editor.setDecorations(this.#going, [])
    editor.setDecorations(this.#coming, [])
    void commands.executeCommand('setContext', visible, false)
  }
}

function rangeOf({ start, end }: LspRange): Range {
  return new Range(start.line, start.character, end.line, end.character)
}

function inSight(editor: TextEditor, range: Range): boolean {
  return editor.visibleRanges.some((visible) => visible.contains(range.start))
}

/** What comes, behind what goes. */
function behind(range: Range, text: string): DecorationOptions {
  return {
    range: new Range(range.end, range.end),
    renderOptions: {
      after: {
        contentText: text.replaceAll(/\r?\n/g, '⏎').replaceAll(' ', '\u00a0'),
        color: new ThemeColor('editorGhostText.foreground'),
        backgroundColor: new ThemeColor('diffEditor.insertedTextBackground'),
      },
    },
  }
}

/** What the key does, at the end of a line. */
function atEndOf(editor: TextEditor, line: number, text: string): DecorationOptions {
  const { end } = editor.document.lineAt(line).range
  return {
    range: new Range(end, end),
    renderOptions: {
      after: {
        contentText: text,
        margin: '0 0 0 2em',
        color: new ThemeColor('editorGhostText.foreground'),
      },
    },
  }
}
