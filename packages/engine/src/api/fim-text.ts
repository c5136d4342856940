import { type FimTokens, fimFamily } from './fim.ts'
import type { PromptPiece } from './request.ts'

/**
 * A prompt that an editor wrote with the special tokens of a family as text, such as
 * `<|fim_prefix|>...<|fim_suffix|>...<|fim_middle|>`: with their ids in their place. Only those of filling in are looked for;
 * the marks of a conversation stay text. Undefined for a prompt without them.
 */
export function fimPieces(
  prompt: string,
  model: { readonly name: string; readonly architecture: string; readonly fim?: FimTokens },
): PromptPiece[] | undefined {
  const { fim } = model
  const texts = fim && fimFamily(model)?.texts
  if (!texts) return undefined
  const ids = new Map<string, number>()
  for (const name of ['prefix', 'suffix', 'middle', 'file', 'repository'] as const) {
    const [text, id] = [texts[name], fim[name]]
    if (text !== undefined && id !== undefined) ids.set(text, id)
  }
  if (!prompt.includes(texts.prefix) || !prompt.includes(texts.suffix)) return undefined
  const marks = [...ids.keys()].map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')
  const pieces = prompt.split(new RegExp(`(${marks})`)).filter((piece) => piece !== '')
  const start = fim.begin === undefined ? [] : [fim.begin]
  return [...start, ...pieces.map((piece) => ids.get(piece) ?? piece)]
}
