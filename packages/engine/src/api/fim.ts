import type { PromptFrame } from './input-options.ts'
import type { PromptPiece } from './request.ts'

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
  /** Absent where the order needs none. */
  readonly middle?: string
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

const bare: FimTexts = { prefix: '<|fim_prefix|>', suffix: '<|fim_suffix|>', middle: '<|fim_middle|>' }
const qwen: FimTexts = {
  ...bare,
  file: '<|file_sep|>',
  repository: '<|repo_name|>',
}
const bigcode: FimTexts = { prefix: '<fim_prefix>', suffix: '<fim_suffix>', middle: '<fim_middle>' }

/** Known families; the first one that a name fits. */
export const fimFamilies: readonly FimFamily[] = [
  // Trained in both orders, better in this one (models/prelude/MODEL_CARD.md).
  { name: 'prelude', order: 'spm', texts: bare, names: /prelude/i },
  { name: 'codegemma', order: 'psm', texts: { ...bare, file: '<|file_separator|>' }, names: /code-?gemma/i },
  {
    name: 'codestral',
    order: 'spm',
    texts: { prefix: '[PREFIX]', suffix: '[SUFFIX]' },
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

export function fimFamily(model: { readonly name: string; readonly architecture: string }): FimFamily | undefined {
  return (
    fimFamilies.find(({ names }) => names.test(model.name)) ??
    fimFamilies.find(({ names }) => names.test(model.architecture))
  )
}

/** Token ids for filling in the middle of a text, and their order. */
export interface FimTokens {
  order: FimOrder
  prefix: number
  suffix: number
  /** Absent where the order needs none. */
  middle?: number
  /** Between files, and before the name of a repository, in models that know several files. */
  file?: number
  repository?: number
  /** What every prompt of this model begins with. */
  begin?: number
}

/**
 * What stands around the text before the gap: what changes least comes first.
 * @param after the text behind the gap
 * @param more other files in front of everything, and text above the text before the gap
 */
export function fimFrame(
  marks: {
    readonly order: FimOrder
    readonly prefix: PromptPiece
    readonly suffix: PromptPiece
    readonly middle?: PromptPiece
    readonly begin?: PromptPiece
  },
  after: string,
  { files = [], above = [] }: { files?: readonly PromptPiece[]; above?: readonly PromptPiece[] } = {},
): PromptFrame {
  const { order, prefix, suffix, middle, begin } = marks
  const start = [...(begin === undefined ? [] : [begin]), ...files]
  const end = middle === undefined ? [] : [middle]
  if (order === 'psm') return { before: [...start, prefix, ...above], after: [suffix, after, ...end] }
  if (order === 'spm') return { before: [...start, suffix, after, prefix, ...above], after: end }
  return { before: [...start, prefix, suffix, after, ...end, ...above], after: [] }
}
