import type { ChatMessage } from '../api/request.ts'
import type { Vocab } from '../llama/vocab.ts'
import type { ChatTemplate } from './template.ts'

// Private-use characters around an index: they stand for a special token's text while the template is rendered.
const open = '\u{F0000}'
const close = '\u{F0001}'
const placeholder = /\u{F0000}(\d+)\u{F0001}/u

/**
 * A conversation as tokens. The template's special tokens are special; text in a message that looks like one, such as
 * `<|im_end|>`, stays plain text, so that nobody can end their turn and speak as the system.
 */
export function promptTokens(template: ChatTemplate, vocab: Vocab, messages: readonly ChatMessage[]): number[] {
  const specials = vocab.specialTexts.filter((text) => messages.some(({ content }) => content.includes(text)))
  if (specials.length === 0) {
    return vocab.tokenize(template.render(messages), { special: true, addBos: vocab.addsBos })
  }
  const hide = (content: string) =>
    // Longest first: one special text may be part of another.
    specials.reduce((text, special, index) => text.replaceAll(special, `${open}${index}${close}`), content)
  const rendered = template.render(messages.map((message) => ({ ...message, content: hide(message.content) })))
  const tokens: number[] = []
  for (const [index, part] of rendered.split(placeholder).entries()) {
    const text = index % 2 === 1 ? (specials[Number(part)] ?? '') : part
    tokens.push(...vocab.tokenize(text, { special: index % 2 === 0, addBos: index === 0 && vocab.addsBos }))
  }
  return tokens
}
