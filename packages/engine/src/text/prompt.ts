import type { ChatMessage, ChatTemplateOptions } from '../api/request.ts'
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
  options: ChatTemplateOptions = {},
): number[] {
  const text = template.render(hidden(messages, specials), hiddenOptions(options, specials))
  return specials.tokens(text, { addBos: vocab.addsBos })
}

/** The messages with placeholders for what looks like a special token in them. */
export function hidden(messages: readonly ChatMessage[], specials: SpecialTexts): ChatMessage[] {
  return messages.map((message) => ({
    ...message,
    content: specials.hide(message.content),
    ...(message.reasoning !== undefined && { reasoning: specials.hide(message.reasoning) }),
    ...(message.toolCalls && {
      toolCalls: message.toolCalls.map((call) => ({
        ...call,
        name: specials.hide(call.name),
        arguments: specials.hide(call.arguments),
      })),
    }),
  }))
}

/** The same with the descriptions of tools. */
export function hiddenOptions(options: ChatTemplateOptions, specials: SpecialTexts): ChatTemplateOptions {
  if (!options.tools?.length) return options
  return { ...options, tools: JSON.parse(specials.hide(JSON.stringify(options.tools))) as unknown[] }
}
