import { type EditorState, type Extension, StateEffect, StateField } from '@codemirror/state'
import { Decoration, EditorView, keymap, WidgetType } from '@codemirror/view'

/** What the model would write next, as the server says it. Where text stands below, one line of it, so that nothing there moves. */
export const suggest = StateEffect.define<string>()

/** No suggestion is wanted until something is typed, also none that is still being written. */
export const dismiss = StateEffect.define<null>()

/**
 * The suggestion behind the cursor; undefined when none is wanted. Typing what it says shortens it; anything else takes it
 * away.
 */
const ghost = StateField.define<string | undefined>({
  create: () => '',
  update(text, transaction) {
    let next = text
    if (transaction.docChanged || transaction.selection) {
      next = ''
      const head = transaction.startState.selection.main.head
      transaction.changes.iterChanges((from, to, _fromB, _toB, inserted) => {
        const typed = inserted.toString()
        if (from === head && to === head && text?.startsWith(typed)) next = text.slice(typed.length)
      })
    }
    for (const effect of transaction.effects) {
      if (effect.is(dismiss)) next = undefined
      else if (effect.is(suggest) && next !== undefined) next = fitting(effect.value, transaction.state)
    }
    return next
  },
  provide: (field) =>
    EditorView.decorations.from(field, (text) => (view) => {
      if (!text) return Decoration.none
      const widget = Decoration.widget({ widget: new Ghost(text), side: 1 })
      return Decoration.set(widget.range(view.state.selection.main.head))
    }),
})

function fitting(text: string, { doc, selection }: EditorState): string {
  const { to } = doc.lineAt(selection.main.head)
  return /\S/.test(doc.sliceString(to)) ? text.replace(/\n[\s\S]*/, '') : text
}

/** Whether there is a suggestion to be seen. */
export const suggests = (state: EditorState): boolean => /\S/.test(state.field(ghost) ?? '')

class Ghost extends WidgetType {
  readonly text: string

  constructor(text: string) {
    super()
    this.text = text
  }

  override eq(other: Ghost): boolean {
    return other.text === this.text
  }

  toDOM(): HTMLElement {
    const span = document.createElement('span')
    span.className = 'cm-ghost'
    span.textContent = this.text
    // It is no part of the text, and may be taken back.
    span.ariaHidden = 'true'
    return span
  }
}

/** Takes a part of the suggestion into the text. */
function accept(part: RegExp) {
  return (view: EditorView): boolean => {
    const text = part.exec(view.state.field(ghost) ?? '')?.[0] ?? ''
    const { head, empty } = view.state.selection.main
    if (text === '' || !empty) return false
    view.dispatch({
      changes: { from: head, insert: text },
      selection: { anchor: head + text.length },
      userEvent: 'input.complete',
      scrollIntoView: true,
    })
    return true
  }
}

/** Takes the suggestion into the text. False where there is none. */
export const takeSuggestion = accept(/^[\s\S]+/)

/** Suggestions and their keys: Tab takes all of one, Ctrl-Right a word, Escape none. */
export const ghostText: Extension = [
  ghost,
  keymap.of([
    { key: 'Tab', run: takeSuggestion },
    { key: 'Mod-ArrowRight', run: accept(/^\s*(?:\w+|[^\w\s]+)/) },
    {
      key: 'Escape',
      run: (view) => {
        if (!view.state.field(ghost)) return false
        view.dispatch({ effects: dismiss.of(null) })
        return true
      },
    },
  ]),
]
