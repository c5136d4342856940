import type { ToolCall } from '@incipit/client'
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
 * this, or this and more, as calls of tools and thoughts are. Undefined when nobody watched.
 */
export function tokensOf(content: string, calls: readonly ToolCall[] = []): ShownToken[] | undefined {
  const byRequest = new Map<number, Token[]>()
  for (const record of recent) {
    if (record.type !== 'token' || record.text === undefined) continue
    const tokens = byRequest.get(record.request) ?? []
    byRequest.set(record.request, tokens)
    tokens.push(record)
  }
  const told = [...byRequest.values()].reverse().map((tokens) => ({
    tokens,
    text: tokens.map(({ text }) => text).join(''),
  }))
  const parts = [content, ...calls.map((call) => call.function.name)].filter((part) => part !== '')
  const said = (text: string) => text.split(/\u{FFFD}+/u).every(inOrder(content))
  const found =
    told.find(({ text }) => text !== '' && text === content) ??
    told.find(({ text }) => parts.length > 0 && parts.every((part) => text.includes(part))) ??
    told.find(({ text }) => content !== '' && text.includes('\u{FFFD}') && said(text))
  return found?.tokens.map(({ text = '', source, stability, guessed, rejected, probability, others }) => ({
    text,
    ...(source !== undefined && { source }),
    ...(stability !== undefined && { stability }),
    ...(guessed !== undefined && { right: guessed }),
    ...(rejected !== undefined && { rejected }),
    ...(probability !== undefined && { probability }),
    ...(others !== undefined && { others }),
  }))
}

/** Whether pieces stand in a text, one behind the other. A token that ends within a character is told with a sign for it. */
function inOrder(text: string): (piece: string) => boolean {
  let from = 0
  return (piece) => {
    const at = text.indexOf(piece, from)
    from = at + piece.length
    return at >= 0
  }
}
