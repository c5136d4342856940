import { history, historyKeymap, indentWithTab, standardKeymap, toggleTabFocusMode } from '@codemirror/commands'
import { bracketMatching, indentOnInput, syntaxHighlighting } from '@codemirror/language'
import { Compartment, EditorState } from '@codemirror/state'
import { drawSelection, EditorView, keymap, lineNumbers } from '@codemirror/view'
import { classHighlighter } from '@lezer/highlight'
import { ghostText } from './ghost.ts'
import { languageOf } from './languages.ts'

const look = EditorView.theme({
  '&': { height: '100%', backgroundColor: 'transparent', color: 'var(--ink)', fontSize: '0.9rem' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6' },
  '.cm-content': { padding: '0.75rem 0', caretColor: 'var(--accent)' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)', borderLeftWidth: '2px' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--grey)', border: 'none' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--selection)',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--selection)' },
  '.cm-ghost': { color: 'var(--grey)', whiteSpace: 'pre-wrap' },
  '.tok-keyword': { color: 'var(--code-keyword)' },
  '.tok-string, .tok-string2': { color: 'var(--code-string)' },
  '.tok-number, .tok-bool, .tok-atom': { color: 'var(--code-number)' },
  '.tok-comment': { color: 'var(--grey)', fontStyle: 'italic' },
  '.tok-typeName, .tok-className': { color: 'var(--code-type)' },
  '.tok-definition': { color: 'var(--code-name)' },
})

const language = new Compartment()

/**
 * An editor inside a shadow root, where its styles may be set without a hole in the page's policy.
 * @param onChange the text before the cursor is another
 */
export function createEditor(parent: ShadowRoot, doc: string, name: string, onChange: (before: string) => void) {
  const before = (state: EditorState) => state.sliceDoc(0, state.selection.main.head)
  const view = new EditorView({
    parent,
    root: parent,
    state: EditorState.create({
      doc,
      selection: { anchor: doc.length },
      extensions: [
        ghostText,
        lineNumbers(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        syntaxHighlighting(classHighlighter),
        language.of([]),
        look,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': 'Code', 'aria-describedby': 'code-keys' }),
        keymap.of([
          ...standardKeymap,
          ...historyKeymap,
          indentWithTab,
          { key: 'Ctrl-m', mac: 'Shift-Alt-m', run: toggleTabFocusMode },
        ]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged || update.selectionSet) onChange(before(update.state))
        }),
      ],
    }),
  })
  const setLanguage = async (name: string) => {
    const support = (await languageOf(name)) ?? []
    view.dispatch({ effects: language.reconfigure(support) })
  }
  void setLanguage(name)
  return {
    view,
    before: () => before(view.state),
    setLanguage,
  }
}
