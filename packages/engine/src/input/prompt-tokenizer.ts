import { IncipitError } from '../api/errors.ts'
import type { ChatMessage, GenerateRequest } from '../api/request.ts'
import type { Vocab } from '../llama/vocab.ts'
import { promptTokens } from '../text/prompt.ts'
import type { ChatTemplate } from '../text/template.ts'
export interface OpenPrompt {
  tokens(text: string): readonly number[]
}
export class PromptTokenizer {
  readonly suffixLength: number
  readonly #o
  constructor(options: { template: ChatTemplate | undefined; vocab: Vocab; modelName: string; contextLength: number }) {
    this.#o = options
    this.suffixLength = options.vocab.tokenize(options.template?.generationSuffix() ?? '', { special: true }).length
  }
  get #template() {
    if (!this.#o.template)
      throw new IncipitError('chat_template', `${this.#o.modelName} carries no chat template; use a raw prompt`)
    return this.#o.template
  }
  tokens(request: Pick<GenerateRequest, 'prompt' | 'messages'>): readonly number[] {
    const { vocab } = this.#o
    if (request.messages !== undefined) return promptTokens(this.#template, vocab, request.messages)
    const { prompt } = request
    if (typeof prompt === 'string') return vocab.tokenize(prompt, { addBos: vocab.addsBos })
    for (const token of prompt!) vocab.bytesOf(token)
    return [...prompt!]
  }
  open(messages: readonly ChatMessage[] | 'raw'): OpenPrompt {
    const { vocab } = this.#o
    const addBos = vocab.addsBos
    if (messages === 'raw') return { tokens: (text) => vocab.tokenize(text, { addBos }).slice(0, -1) }
    const template = this.#template
    return {
      tokens: (text) => {
        try {
          const tail = template.openTail([...messages, { role: 'user', content: text || 'x' }])
          if (tail === undefined) return []
          return vocab.tokenize(tail.before + (text === '' ? '' : tail.content), { special: true, addBos }).slice(0, -1)
        } catch {
          return []
        }
      },
    }
  }
  renderChat(messages: readonly ChatMessage[]) {
    return this.#template.render(messages)
  }
}
