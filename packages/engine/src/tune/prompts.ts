import { IncipitError } from '../api/errors.ts'
import type { ChatMessage } from '../api/request.ts'
import type { Model } from '../llama/model.ts'
import { templateOf } from '../runtime/load/template-of.ts'
import { promptTokens } from '../text/prompt.ts'

/** A prompt to tune on. `split` keeps what is fitted apart from what is judged; without it every second is held out. */
export interface TunePrompt {
  id?: string
  messages?: readonly ChatMessage[]
  prompt?: string
  split?: 'fit' | 'calibrate'
}

/**
 * Reads a prompt file, one JSON object a line: `messages`, `prompt`, or `turns` (the first turn counts).
 * @throws IncipitError `tune_failed`, naming the line
 */
export function parsePrompts(text: string): TunePrompt[] {
  const prompts: TunePrompt[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    try {
      const value = JSON.parse(line) as TunePrompt & { turns?: string[] }
      const first = value.turns?.[0]
      if (first !== undefined) prompts.push({ messages: [{ role: 'user', content: first }] })
      else if (value.messages !== undefined || value.prompt !== undefined) prompts.push(value)
      else throw new Error('it has none of messages, prompt, turns')
    } catch (cause) {
      throw new IncipitError('tune_failed', `line ${index + 1} of the prompt file: ${(cause as Error).message}`, {
        cause,
      })
    }
  }
  return prompts
}

export interface TokenisedPrompt {
  tokens: number[]
  /** Tokens the template puts after the last message. */
  suffix: number
  heldOut: boolean
}

/** Renders and tokenises prompts as the engine would; those longer than `longest` tokens are left out. */
export function tokenisePrompts(model: Model, prompts: readonly TunePrompt[], longest: number): TokenisedPrompt[] {
  const { vocab } = model
  const template = templateOf(model)
  const suffix = vocab.tokenize(template?.generationSuffix() ?? '', { special: true }).length
  return prompts
    .map((prompt, index) => {
      const heldOut = prompt.split === undefined ? index % 2 === 1 : prompt.split === 'calibrate'
      if (prompt.messages !== undefined && template !== undefined) {
        return { tokens: promptTokens(template, vocab, prompt.messages), suffix, heldOut }
      }
      const text = prompt.prompt ?? prompt.messages?.map(({ content }) => content).join('\n') ?? ''
      return { tokens: vocab.tokenize(text, { addBos: vocab.addsBos }), suffix: 0, heldOut }
    })
    .filter(({ tokens }) => tokens.length > 0 && tokens.length <= longest)
}
