import type { Matcher, Vocabulary } from '../src/index.ts'

/** A vocabulary of all bytes, some longer pieces, a control token and two tokens that end a text. */
const pieces = ['{"', '":', ', ', 'true', 'false', 'null', 'name', 'age', '12', 'yes', 'no', 'ab', ' ', '\n  ']
const bytes = Array.from({ length: 256 }, (_, value) => Uint8Array.of(value))
const all = [...bytes, ...pieces.map((text) => new TextEncoder().encode(text)), new Uint8Array()]
export const ends = [all.length, all.length + 1]

export const vocabulary: Vocabulary = {
  size: all.length + ends.length,
  bytesOf: (token) => all[token] ?? new Uint8Array(),
  isEndOfGeneration: (token) => ends.includes(token),
}

/** The same with a tokenizer. */
export const tokenizing: Vocabulary = { ...vocabulary, tokenize: tokensOf }

export const control = all.length - 1
/** The same where the control token has a name. */
export const naming: Vocabulary = { ...tokenizing, controlTokens: new Map([['<|call|>', control]]) }

/** Tokens of a text, the longest first. */
export function tokensOf(text: string): number[] {
  const tokens: number[] = []
  const rest = Buffer.from(text)
  for (let at = 0; at < rest.length; ) {
    let best = rest[at]!
    for (const [i, piece] of pieces.entries()) {
      const length = Buffer.byteLength(piece)
      if (rest.subarray(at, at + length).equals(Buffer.from(piece)) && length > vocabulary.bytesOf(best).length)
        best = 256 + i
    }
    tokens.push(best)
    at += vocabulary.bytesOf(best).length
  }
  return tokens
}

export function allows(mask: Uint32Array, token: number): boolean {
  return ((mask[token >> 5]! >> (token & 31)) & 1) === 1
}

export type Judgement = 'complete' | 'begun' | 'refused'

/** How far a text is allowed from here: whole and complete, whole, or not. */
export function judgementOf(matcher: Matcher, text: string): Judgement {
  for (const token of tokensOf(text)) {
    if (!allows(matcher.mask(), token)) return 'refused'
    matcher.advance(token)
  }
  return matcher.ending === 'no' ? 'begun' : 'complete'
}
