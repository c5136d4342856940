import { recent, type Token } from '../api/steps.ts'

/** A token of a reply, as the token view shows it. */
export interface ShownToken {
  text: string
  source?: string
  stability?: number
  right?: boolean
  rejected?: number
  probability?: number
  others?: { text: string; probability: number }[]
}

/**
 * The tokens of a reply that has just ended, out of what the engine told lately: those of the last request that said just
 * this. Undefined when nobody watched, or the text ends elsewhere than its tokens do (stop strings).
 */
export function tokensOf(reply: string): ShownToken[] | undefined {
  const byRequest = new Map<number, Token[]>()
  for (const record of recent) {
    if (record.type !== 'token' || record.text === undefined) continue
    const tokens = byRequest.get(record.request) ?? []
    byRequest.set(record.request, tokens)
    tokens.push(record)
  }
  for (const tokens of [...byRequest.values()].reverse()) {
    const text = tokens.map(({ text }) => text).join('')
    if (text !== reply && !(reply !== '' && text.startsWith(reply))) continue
    return tokens.map(({ text = '', source, stability, guessed, rejected, probability, others }) => ({
      text,
      ...(source !== undefined && { source }),
      ...(stability !== undefined && { stability }),
      ...(guessed !== undefined && { right: guessed }),
      ...(rejected !== undefined && { rejected }),
      ...(probability !== undefined && { probability }),
      ...(others !== undefined && { others }),
    }))
  }
  return undefined
}
