import { type FimFamily, type FimOrder, fimFrame, type PromptFrame, type PromptPiece } from '@incipit/engine/api'

/** A piece of another file, or of what the editor knows, that may help. */
export interface RelatedChunk {
  /** Where it is from: a path in the workspace, or words such as `clipboard`. */
  readonly source: string
  readonly text: string
}

/** What a completion is asked with. */
export interface FimPrompt {
  /** Path of the file in the workspace. */
  readonly path: string
  /** How a line becomes a comment in this language, e.g. `//`. */
  readonly comment: string
  readonly related: readonly RelatedChunk[]
  readonly before: string
  /** The beginning of a word that stands between `before` and the cursor: a completion begins with it. */
  readonly begun: string
  readonly after: string
}

// A space belongs to the token of the word behind it.
const begunWord = / ?[\p{L}\p{N}_$]{0,40}$/u

/**
 * Takes the beginning of a word off the end of a text: tokens are mostly whole words, and a model that is made to go on
 * behind half of one says something else than one that may choose the word (token healing).
 */
export function splitBegun(before: string): { before: string; begun: string } {
  const at = begunWord.exec(before)!.index
  return at === 0 ? { before, begun: '' } : { before: before.slice(0, at), begun: before.slice(at) }
}

/** Special tokens as one back end takes them: ids for our engine, texts for servers that find them in a text. */
export interface FimMarks {
  readonly order: FimOrder
  readonly prefix: PromptPiece
  readonly suffix: PromptPiece
  readonly middle?: PromptPiece
  readonly file?: PromptPiece
  readonly repository?: PromptPiece
  readonly begin?: PromptPiece
}

/** The frame around the text before the cursor: what changes least comes first, so that it stays computed. */
export function frameOf(prompt: FimPrompt, marks: FimMarks): PromptFrame {
  const files = marks.file === undefined ? [] : separated(prompt, marks, marks.file)
  // A model that knows no files reads them as a beginning of this one.
  const above = marks.file === undefined && prompt.related.length > 0 ? [written(prompt)] : []
  return fimFrame(marks, prompt.after, { files, above })
}

function separated(prompt: FimPrompt, marks: FimMarks, file: PromptPiece): PromptPiece[] {
  if (prompt.related.length === 0) return []
  const repository = marks.repository === undefined ? [] : [marks.repository, 'workspace']
  const files = prompt.related.flatMap(({ source, text }) => [file, `${source}\n${text}\n`])
  return [...repository, ...files, file, `${prompt.path}\n`]
}

function written({ related, comment }: FimPrompt): string {
  return related.map(({ source, text }) => `${comment} ${source}\n${text}\n\n`).join('')
}

/** The prompt of a model that knows no middle: what stands before the cursor, other files above it. */
export function plainText(prompt: FimPrompt): string {
  return written(prompt) + prompt.before
}

/** The whole prompt as one text, for servers that find special tokens in it. */
export function promptText(prompt: FimPrompt, family: FimFamily | undefined): string {
  if (!family) return plainText(prompt)
  const { before, after } = frameOf(prompt, { order: family.order, ...family.texts })
  return [...before, prompt.before, ...after].join('')
}
