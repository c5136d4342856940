import { type FimTokens, fimFamily } from '../../api/fim.ts'
import type { Vocab } from '../../llama/vocab.ts'

/**
 * How a model fills in the middle: special tokens from its file, or by the names that its family gives them, and their
 * order. Undefined for a model that cannot.
 */
export function fimTokens(vocab: Vocab, model: { name: string; architecture: string }): FimTokens | undefined {
  const family = fimFamily(model)
  // Most models were trained in this order, if in one only.
  if (vocab.fim) return { order: family?.order ?? 'psm', ...vocab.fim }
  if (!family) return undefined
  const { prefix, suffix, middle } = family.texts
  const [before, behind, gap] = [prefix, suffix, middle].map((text) => tokenOf(vocab, text))
  if (before === undefined || behind === undefined || (middle !== undefined && gap === undefined)) return undefined
  return {
    order: family.order,
    prefix: before,
    suffix: behind,
    ...(gap !== undefined && { middle: gap }),
    ...(vocab.addsBos && { begin: vocab.bos }),
  }
}

/** The special token of this text. */
function tokenOf(vocab: Vocab, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const tokens = vocab.tokenize(text, { special: true })
  return tokens.length === 1 ? tokens[0] : undefined
}
