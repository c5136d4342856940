import type { FimTokens, ModelInfo, PromptFrame, PromptPiece } from '@incipit/engine/api'

/**
 * How the parts of a fill-in-the-middle prompt follow each other. What is typed stands at the end of `before`:
 * - `psm`: prefix `before` suffix `after` middle. Every keystroke changes what `after` is computed behind.
 * - `spm`: suffix `after` prefix `before` middle. A keystroke adds to the end, everything else stays computed.
 * - `spm-inside`: prefix suffix `after` middle `before`: the same for models trained that way (Bavarian et al. 2022,
 *   Efficient Training of Language Models to Fill in the Middle, appendix D; SantaCoder, StarCoder).
 */
export type FimOrder = 'psm' | 'spm' | 'spm-inside'

/** Special tokens as text, for models whose file does not name them and for servers that take a prompt as text. */
interface FimTexts {
  readonly prefix: string
  readonly suffix: string
  /** Empty where the order needs none. */
  readonly middle: string
  readonly file?: string
  readonly repository?: string
}

export interface FimFamily {
  readonly name: string
  readonly order: FimOrder
  readonly texts: FimTexts
  /** Recognised by the name or the architecture of a model. */
  readonly names: RegExp
}

const qwen: FimTexts = {
  prefix: '<|fim_prefix|>',
  suffix: '<|fim_suffix|>',
  middle: '<|fim_middle|>',
  file: '<|file_sep|>',
  repository: '<|repo_name|>',
}
const bigcode: FimTexts = { prefix: '<fim_prefix>', suffix: '<fim_suffix>', middle: '<fim_middle>' }

/** Known families; the first one that a name fits. */
export const fimFamilies: readonly FimFamily[] = [
  // Trained in both orders, better in this one (models/prelude/MODEL_CARD.md).
  { name: 'prelude', order: 'spm', texts: { ...qwen, file: '', repository: '' }, names: /prelude/i },
  { name: 'codegemma', order: 'psm', texts: { ...qwen, repository: '' }, names: /code-?gemma/i },
  {
    name: 'codestral',
    order: 'spm',
    texts: { prefix: '[PREFIX]', suffix: '[SUFFIX]', middle: '' },
    names: /codestral|devstral/i,
  },
  {
    name: 'deepseek-coder',
    order: 'psm',
    texts: { prefix: '<｜fim▁begin｜>', suffix: '<｜fim▁hole｜>', middle: '<｜fim▁end｜>' },
    names: /deepseek/i,
  },
  {
    name: 'santacoder',
    order: 'spm-inside',
    texts: { prefix: '<fim-prefix>', suffix: '<fim-suffix>', middle: '<fim-middle>' },
    names: /santacoder/i,
  },
  {
    name: 'starcoder',
    order: 'spm-inside',
    texts: { ...bigcode, file: '<file_sep>', repository: '<repo_name>' },
    names: /starcoder/i,
  },
  { name: 'granite', order: 'spm-inside', texts: bigcode, names: /granite/i },
  {
    name: 'codellama',
    order: 'psm',
    texts: { prefix: '<PRE>', suffix: '<SUF>', middle: '<MID>' },
    names: /code-?llama/i,
  },
  { name: 'qwen-coder', order: 'psm', texts: qwen, names: /qwen/i },
]

export function fimFamily(model: Pick<ModelInfo, 'name' | 'architecture'>): FimFamily | undefined {
  return (
    fimFamilies.find(({ names }) => names.test(model.name)) ??
    fimFamilies.find(({ names }) => names.test(model.architecture))
  )
}

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

/** Special tokens of one model: ids for our engine, texts for servers that take text. */
export interface FimMarks<T extends PromptPiece> {
  readonly order: FimOrder
  readonly prefix: T
  readonly suffix: T
  readonly middle: T | undefined
  readonly file: T | undefined
  readonly repository: T | undefined
  readonly begin: T | undefined
}

export function marksOfTokens(fim: FimTokens, order: FimOrder): FimMarks<number> {
  const { prefix, suffix, middle, file, repository, begin } = fim
  return { order, prefix, suffix, middle, file, repository, begin }
}

export function marksOfTexts({ order, texts }: FimFamily): FimMarks<string> {
  const { prefix, suffix, middle, file, repository } = texts
  return {
    order,
    prefix,
    suffix,
    middle: middle || undefined,
    file: file || undefined,
    repository: repository || undefined,
    begin: undefined,
  }
}

/** The frame around the text before the cursor: what changes least comes first, so that it stays computed. */
export function frameOf(prompt: FimPrompt, marks: FimMarks<PromptPiece>): PromptFrame {
  const { order, prefix, suffix, middle, file, begin } = marks
  const start = begin === undefined ? [] : [begin]
  const files = file === undefined ? [] : separated(prompt, marks, file)
  // A model that knows no files reads them as a beginning of this one.
  const above = file === undefined && prompt.related.length > 0 ? [written(prompt)] : []
  const end = middle === undefined ? [] : [middle]
  if (order === 'psm') {
    return { before: [...start, ...files, prefix, ...above], after: [suffix, prompt.after, ...end] }
  }
  if (order === 'spm') {
    return { before: [...start, ...files, suffix, prompt.after, prefix, ...above], after: end }
  }
  return { before: [...start, ...files, prefix, suffix, prompt.after, ...end, ...above], after: [] }
}

function separated(prompt: FimPrompt, marks: FimMarks<PromptPiece>, file: PromptPiece): PromptPiece[] {
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
export function promptText(prompt: FimPrompt, marks: FimMarks<string> | undefined): string {
  if (!marks) return plainText(prompt)
  const { before, after } = frameOf(prompt, marks)
  return [...before, prompt.before, ...after].join('')
}
