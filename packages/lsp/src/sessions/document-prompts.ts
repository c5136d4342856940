import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { Backend } from '../backends/backend.ts'
import { lineComment } from '../context/comments.ts'
import { type FimPrompt, type RelatedChunk, splitBegun } from '../context/fim-format.ts'
import { PromptWindow } from '../context/prompt-window.ts'
import { withoutSecrets } from '../context/secrets.ts'
import type { Settings } from '../settings.ts'
import { promptSizes } from './prompt-sizes.ts'

/** What prompts of a document are made of beside it. */
export interface PromptHost {
  readonly backend: Backend
  readonly settings: Settings
  /** Chunks of other files for this one, within a budget of UTF-16 units. */
  related(cursor: number, budget: number): readonly RelatedChunk[]
}

// Lines that a cursor moves before other chunks of other files are looked for.
const farLines = 20
// Of what did not fit.
const shrinking = 0.7

/** The prompts of one document: what the next one has in common with the last is computed already. */
export class DocumentPrompts {
  readonly #path: string
  readonly #host: PromptHost
  readonly #window = new PromptWindow()
  #shrink = 1
  #related: { readonly chunks: readonly RelatedChunk[]; readonly line: number } | undefined

  /** @param path in the workspace */
  constructor(path: string, host: PromptHost) {
    this.#path = path
    this.#host = host
  }

  /** A change, as offsets in the text before it. */
  changed(from: number, to: number, length: number): void {
    this.#window.changed(from, to, length)
  }

  /** Other files changed so much that their chunks are chosen again at the next occasion. */
  forgetRelated(): void {
    this.#related = undefined
  }

  /** The last one was too long. */
  shrink(): void {
    this.#shrink *= shrinking
  }

  /** @param more text that stands at the cursor as if it were typed */
  at(document: TextDocument, cursor: number, more = ''): FimPrompt {
    const { backend, settings } = this.#host
    const sizes = promptSizes(backend, settings, this.#shrink)
    const { before, after } = this.#window.around(document.getText(), cursor, sizes)
    const whole = withoutSecrets(before) + more
    return {
      path: this.#path,
      comment: lineComment(document.languageId),
      related: this.#relatedAt(document.positionAt(cursor).line, cursor, sizes.related),
      ...(backend.begins ? splitBegun(whole) : { before: whole, begun: '' }),
      after: backend.order === undefined ? '' : withoutSecrets(after),
    }
  }

  /** They stay while the cursor stays about where it is: a prompt that begins with others is a new one. */
  #relatedAt(line: number, cursor: number, budget: number): readonly RelatedChunk[] {
    if (this.#related && Math.abs(this.#related.line - line) <= farLines) return this.#related.chunks
    const chunks = budget > 0 ? this.#host.related(cursor, budget) : []
    this.#related = { chunks, line }
    return chunks
  }
}
