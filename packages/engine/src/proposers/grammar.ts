import type { Acceptances } from './acceptances.ts'
import { type Acceptance, type CommittedText, type Draft, maxDraft, type Proposer } from './proposer.ts'

export interface GrammarParts {
  /** What must follow the committed text: tokens, or bytes. */
  readonly forced: (text: CommittedText) => readonly number[] | Uint8Array
  readonly tokenize: (text: string) => readonly number[]
  readonly bytesOf: (token: number) => Uint8Array
  /** True for tokens that end a reply: a draft stops before them. */
  readonly ends: (token: number) => boolean
  readonly acceptance: GrammarAcceptance
}

/** How often forced bytes come as the tokens that the tokenizer makes of them. */
export interface GrammarAcceptance {
  readonly inner: Acceptance
  /** Of the last one: what follows, which is free, may be part of its token. */
  readonly last: Acceptance
}

export function grammarAcceptance(acceptances: Acceptances, kind: string): GrammarAcceptance {
  return {
    inner: acceptances.of('grammar', kind, 0.9, 'inner'),
    last: acceptances.of('grammar', kind, 0.6, 'last'),
  }
}

interface GrammarDraft extends Draft {
  /** Tokens of which the tokenizer, not the constraint, is sure; the last one of them ends what is forced. */
  readonly guessed?: { readonly whole: boolean }
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Proposes what the request's constraint forces. Where it forces tokens, they are certain. Where it forces bytes, the model
 * still chooses in which tokens it says them: most likely those that the tokenizer makes of them.
 */
export class GrammarProposer implements Proposer<GrammarDraft> {
  readonly name = 'grammar'
  readonly #parts: GrammarParts

  constructor(parts: GrammarParts) {
    this.#parts = parts
  }

  propose(text: CommittedText): GrammarDraft | undefined {
    const { forced, ends, acceptance } = this.#parts
    const must = forced(text)
    const bytes = must instanceof Uint8Array
    const all = bytes ? this.#tokensOf(must, text) : must
    const end = all.findIndex(ends)
    const guess = all.slice(0, Math.min(maxDraft, end < 0 ? all.length : end))
    if (guess.length === 0) return undefined
    const whole = guess.length === all.length
    const confidence = (index: number) => {
      if (!bytes) return 1
      return whole && index === guess.length - 1 ? acceptance.last.at(0) : acceptance.inner.at(index)
    }
    const draft = { source: this.name, tokens: guess, confidences: guess.map((_, i) => confidence(i)) } as const
    return bytes ? { ...draft, guessed: { whole } } : draft
  }

  learn({ tokens, guessed }: GrammarDraft, offered: number, right: number): void {
    // What is forced needs no statistics.
    if (guessed === undefined) return
    const { inner, last } = this.#parts.acceptance
    const inside = guessed.whole ? tokens.length - 1 : tokens.length
    if (inside > 0) inner.observe(Math.min(offered, inside), Math.min(right, inside))
    if (guessed.whole && offered === tokens.length && right >= inside) last.observe(1, right - inside)
  }

  /** Tokenised behind the last token of the text, with which the first of them may have to do. */
  #tokensOf(bytes: Uint8Array, { tokens, committed, prompt }: CommittedText): readonly number[] {
    const { tokenize, bytesOf } = this.#parts
    if (bytes.length === 0) return []
    const previous = committed > prompt ? tokens[committed - 1] : undefined
    const before = previous === undefined ? new Uint8Array() : bytesOf(previous)
    const together = decoded(Buffer.concat([before, bytes]))
    if (previous !== undefined && together !== undefined) {
      const all = tokenize(together)
      if (all[0] === previous) return all.slice(1)
    }
    const alone = decoded(bytes)
    return alone === undefined ? [] : tokenize(alone)
  }
}

/** Text of whole characters: what is cut at the end is left out. Undefined where it begins inside a character. */
function decoded(bytes: Uint8Array): string | undefined {
  let end = bytes.length
  // Behind at most three bytes of a character that is not whole.
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) break
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    if (length > back) end = bytes.length - back
    break
  }
  try {
    return decoder.decode(bytes.subarray(0, end))
  } catch {
    return undefined
  }
}
