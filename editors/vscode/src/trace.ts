import { EventEmitter, type TextDocumentContentProvider, Uri, window, workspace } from 'vscode'
import type { LanguageClient } from 'vscode-languageclient/node'

interface TraceEntry {
  readonly at: string
  readonly path: string
  readonly position: { readonly line: number; readonly character: number }
  readonly source: string
  readonly silence?: string
  readonly shown: string
  readonly ms: number
  readonly firstMs?: number
  readonly prompt?: {
    readonly related: readonly { readonly source: string; readonly text: string }[]
    readonly before: string
    readonly after: string
    readonly promptTokens?: number
    readonly cachedTokens?: number
  }
}

export const traceScheme = 'incipit-trace'
const uri = Uri.parse(`${traceScheme}:requests.md`)

/** The last requests with everything that was given to the model, the latest first: a document that nobody has to save. */
export class TraceView implements TextDocumentContentProvider {
  readonly #changed = new EventEmitter<Uri>()
  readonly onDidChange = this.#changed.event
  #content = ''

  provideTextDocumentContent(): string {
    return this.#content
  }

  async show(client: LanguageClient): Promise<void> {
    const entries = await client.sendRequest<readonly TraceEntry[]>('incipit/trace')
    this.#content = [
      '# incipit: the last requests\n\nNothing of this leaves your machine unless a server is set.',
      ...entries.toReversed().map(written),
    ].join('\n\n')
    this.#changed.fire(uri)
    await window.showTextDocument(await workspace.openTextDocument(uri))
  }
}

function written({ at, path, position, source, silence, shown, ms, firstMs, prompt }: TraceEntry): string {
  const first = firstMs === undefined ? '' : `, first text after ${firstMs.toFixed(0)} ms`
  const head = `## ${new Date(at).toLocaleTimeString()} ${path}:${position.line + 1}:${position.character + 1}`
  const how = `${source}, answered in ${ms.toFixed(1)} ms${first}${silence === undefined ? '' : `, silent: ${silence}`}`
  const parts = [head, how, ...(shown === '' ? [] : [`Shown:\n${fenced(shown)}`])]
  if (!prompt) return parts.join('\n\n')
  const { promptTokens, cachedTokens } = prompt
  if (promptTokens !== undefined) parts.push(`${promptTokens} tokens, ${cachedTokens} of them computed before`)
  for (const { source, text } of prompt.related) parts.push(`From ${source}:\n${fenced(text)}`)
  // A next edit has no cursor: all of it is a conversation.
  if (prompt.before !== '') parts.push(`Before the cursor:\n${fenced(prompt.before)}`)
  if (prompt.after !== '') parts.push(`Behind it:\n${fenced(prompt.after)}`)
  return parts.join('\n\n')
}

function fenced(text: string): string {
  const fence = '`'.repeat(Math.max(3, ...(text.match(/`+/g) ?? []).map(({ length }) => length + 1)))
  return `${fence}\n${text}\n${fence}`
}
