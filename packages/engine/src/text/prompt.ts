import type { ChatMessage } from '../api/request.ts'
import { SpecialTexts } from './special-texts.ts'
import type { ChatTemplate } from './template.ts'
import type { Tokenizer } from './tokenizer.ts'

/**
 * A conversation as tokens. The template's special tokens are special; text in a message that looks like one stays plain
 * text.
 */
export function promptTokens(
  template: ChatTemplate,
  vocab: Tokenizer,
  messages: readonly ChatMessage[],
  specials: SpecialTexts = new SpecialTexts(vocab),
): number[] {
  return specials.tokens(template.render(hidden(messages, specials)), { addBos: vocab.addsBos })
}

/** The messages with placeholders for what looks like a special token in them. */
export function hidden(messages: readonly ChatMessage[], specials: SpecialTexts): ChatMessage[] {
  return messages.map((message) => ({ ...message, content: specials.hide(message.content) }))
}
