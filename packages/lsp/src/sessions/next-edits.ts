import type { TextDocument, TextEdit } from 'vscode-languageserver-textdocument'
import type { BackendUsage } from '../backends/backend.ts'
import { withoutSecrets } from '../context/secrets.ts'
import type { Change } from '../documents/documents.ts'
import { dedented } from '../edits/dedent.ts'
import { concerns, editRegions, type Region } from '../edits/edit-places.ts'
import { type EditPrompt, editPrompt } from '../edits/edit-prompt.ts'
import { type RecentEdit, RecentEdits } from '../edits/recent-edits.ts'
import { replacementsOf } from '../edits/rewrite.ts'
import { textEdits } from '../edits/text-edits.ts'
import { type WordChange, wordChange } from '../edits/word-change.ts'
import type { Settings } from '../settings.ts'
import { styleOf } from '../suggest/insertion.ts'
import type { SentPrompt } from '../trace.ts'
import { type RewriteHost, Rewriter } from './rewriter.ts'

/** What next edits need around them. */
export interface EditHost extends RewriteHost {
  readonly settings: Settings
}

/** The change that the writer would make next, offered before they go there. */
export interface NextEdit {
  /** Empty: nothing is offered. */
  readonly edits: readonly TextEdit[]
  /** What the model was asked last, where it was asked. */
  readonly prompt?: SentPrompt
  /** The same for the same change of the same lines, wherever they are by then. */
  readonly key: string
}

/** A region to rewrite after a change of words. */
interface Ask {
  readonly prompt: EditPrompt
  readonly region: Region
  readonly change: WordChange
}

// Places that the model leaves as they are are looked at once; the next request goes on behind them.
const maxTries = 3

/** What was changed last, in all documents, and where that may have to be done again. */
export class NextEdits {
  readonly #recent = new RecentEdits()
  readonly #rewriter = new Rewriter()
  readonly #rejected = new Set<string>()

  changed(uri: string, changes: readonly Change[]): void {
    this.#recent.changed(uri, changes)
  }

  /** Not wanted: it is not offered again. */
  reject({ key }: NextEdit): void {
    this.#rejected.add(key)
  }

  /**
   * @param line where the cursor is
   * @throws whatever the back end fails with
   */
  async suggest(document: TextDocument, line: number, host: EditHost, signal: AbortSignal): Promise<NextEdit> {
    let sent: Pick<NextEdit, 'prompt'> = {}
    const nothing = () => ({ edits: [], key: '', ...sent })
    if (!host.backend.rewrites) return nothing()
    const lines = linesOf(document)
    let tries = 0
    for (const { prompt, region, change } of this.#asks(document.uri, lines, line)) {
      if (!this.#rewriter.knows(prompt) && ++tries > maxTries) return nothing()
      const found = await this.#rewriter.rewrite(prompt, host, signal)
      if (!found) return nothing()
      sent = { prompt: sentPrompt(prompt, found.usage) }
      const least = host.backend.probabilities ? host.settings.minAcceptance : 0
      const before = dedented(textOf(lines, region))
      const replacements = replacementsOf(before.text, found.rewrite, change, least)
      const key = JSON.stringify([document.uri, before.text, replacements])
      if (replacements.length === 0 || this.#rejected.has(key)) continue
      return { edits: textEdits(replacements, region, before, styleOf(document.getText()).eol), key, ...sent }
    }
    return nothing()
  }

  /** What a model can be asked, the latest edit and the nearest place first. */
  *#asks(uri: string, lines: readonly string[], line: number): Generator<Ask> {
    const recent = this.#recent.latest.filter(({ before, after }) => !hasSecrets(before + after))
    for (const edit of recent) {
      const change = wordChange(edit)
      if (edit.uri !== uri && !isSeenOutside(edit)) continue
      // Of the others those that did the same elsewhere, a call with its new argument, say: a small model confuses the rest.
      const shown = recent.filter(
        (each) => each === edit || linesIn(each.before).some((line) => concerns(change, line)),
      )
      for (const region of editRegions(lines, change, ownLines(edit), line)) {
        const before = textOf(lines, region)
        const prompt = hasSecrets(before) ? undefined : editPrompt(shown, before, region.place - region.first, change)
        if (prompt) yield { prompt, region, change }
      }
    }
  }
}

function linesOf(document: TextDocument): string[] {
  return linesIn(document.getText().replaceAll('\r\n', '\n'))
}

function linesIn(text: string): string[] {
  return text.split('\n')
}

function textOf(lines: readonly string[], { first, last }: Region): string {
  return lines.slice(first, last + 1).join('\n')
}

/** The lines that an edit made. */
function ownLines({ before, after }: RecentEdit): Set<string> {
  return new Set(after.split('\n')).difference(new Set(before.split('\n')))
}

/** What is indented is a name of its own file, or of a part of it. */
function isSeenOutside({ after }: RecentEdit): boolean {
  return /^\S/.test(after)
}

/** For whoever looks at what was sent: all of it. */
function sentPrompt({ messages }: EditPrompt, usage: BackendUsage | undefined): SentPrompt {
  const related = messages.map(({ role, content }) => ({ source: role, text: content }))
  return { related, before: '', after: '', ...usage }
}

function hasSecrets(text: string): boolean {
  return withoutSecrets(text) !== text
}
