import {
  commands,
  Disposable,
  env,
  type Location,
  type LocationLink,
  languages,
  type TextEditor,
  UIKind,
  type Uri,
  window,
  workspace,
} from 'vscode'

type Send = (method: string, params: object) => void

interface Chunk {
  readonly source: string
  readonly text: string
}

const cursorMs = 50
// Diagnostics and definitions cost the other language servers something.
const contextMs = 700
const definitionLines = 12

/** Tells the server what only the editor knows: where the cursor is, diagnostics, definitions, the last copied text. */
export function tellContext(send: Send): Disposable {
  let cursor: NodeJS.Timeout | undefined
  let context: NodeJS.Timeout | undefined
  const later = (editor: TextEditor | undefined) => {
    clearTimeout(context)
    context = setTimeout(() => void gather(editor).then((chunks) => send('incipit/context', { chunks })), contextMs)
  }
  return Disposable.from(
    window.onDidChangeTextEditorSelection(({ textEditor }) => {
      clearTimeout(cursor)
      const { document, selection } = textEditor
      const params = { uri: document.uri.toString(), position: selection.active }
      cursor = setTimeout(() => send('incipit/cursor', params), cursorMs)
      later(textEditor)
    }),
    window.onDidChangeActiveTextEditor(later),
    new Disposable(() => {
      clearTimeout(cursor)
      clearTimeout(context)
    }),
  )
}

async function gather(editor: TextEditor | undefined): Promise<Chunk[]> {
  if (!editor || !workspace.getConfiguration('incipit').get('relatedFiles')) return []
  const chunks = [diagnosticsOf(editor), await definitionAt(editor), await copied(editor)]
  return chunks.filter((chunk) => chunk !== undefined)
}

function diagnosticsOf({ document, selection }: TextEditor): Chunk | undefined {
  const near = languages
    .getDiagnostics(document.uri)
    .filter(({ range }) => Math.abs(range.start.line - selection.active.line) < 30)
    .slice(0, 5)
    .map(({ range, message }) => `line ${range.start.line + 1}: ${message}`)
  return near.length === 0 ? undefined : { source: 'diagnostics', text: near.join('\n') }
}

/** Where the last name before the cursor is defined, if that is in another file. */
async function definitionAt({ document, selection }: TextEditor): Promise<Chunk | undefined> {
  const line = document.lineAt(selection.active.line).text.slice(0, selection.active.character)
  const name = /([\p{L}_$][\p{L}\p{N}_$]*)[^\p{L}\p{N}_$]*$/u.exec(line)
  if (!name) return undefined
  const found = await commands.executeCommand<(Location | LocationLink)[] | undefined>(
    'vscode.executeDefinitionProvider',
    document.uri,
    selection.active.with({ character: name.index }),
  )
  const first = found?.[0]
  if (!first) return undefined
  const [uri, range] = 'targetUri' in first ? [first.targetUri, first.targetRange] : [first.uri, first.range]
  if (uri.toString() === document.uri.toString() || !isOurs(uri)) return undefined
  const lines = (await workspace.openTextDocument(uri)).getText().split('\n')
  const text = lines.slice(range.start.line, range.start.line + definitionLines).join('\n')
  return { source: `${workspace.asRelativePath(uri)}: ${name[1]}`, text }
}

/** Definitions in libraries are long, and known to the model. */
function isOurs(uri: Uri): boolean {
  return workspace.getWorkspaceFolder(uri) !== undefined && !uri.path.includes('/node_modules/')
}

/** The last copied text, where it looks like code and is not in the file anyway. */
async function copied({ document }: TextEditor): Promise<Chunk | undefined> {
  // A browser asks its user for leave.
  if (env.uiKind !== UIKind.Desktop) return undefined
  const text = (await Promise.resolve(env.clipboard.readText()).catch(() => '')).trim()
  if (text.length < 20 || text.length > 2000 || !/[(){};=]/.test(text) || document.getText().includes(text))
    return undefined
  return { source: 'clipboard', text }
}
