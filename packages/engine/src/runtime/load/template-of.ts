import type { Model } from '../../llama/model.ts'
import { ChatTemplate } from '../../text/template.ts'

/** The chat template a model carries, or undefined. A BOS token that the tokenizer adds by itself is not written twice. */
export function templateOf(model: Model): ChatTemplate | undefined {
  if (model.chatTemplate === undefined) return undefined
  const { vocab } = model
  return new ChatTemplate(model.chatTemplate, {
    bosToken: vocab.addsBos ? '' : vocab.specialText(vocab.bos),
    eosToken: vocab.specialText(vocab.eos),
  })
}
