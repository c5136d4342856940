import type { Vocabulary } from '../api/vocabulary.ts'

// Tokens of texts have 31 bits (random.ts).
const textTokens = 2 ** 31

/** Ends every reply. */
export const endToken = textTokens

// Read at once, so that all tokens may share it.
const bytes = new Uint8Array(6)

/** Tokens that stand for nothing, each with six letters of its own, so that shown texts can be told apart. */
export const vocabulary: Vocabulary = {
  size: textTokens + 1,
  bytesOf(token) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = 0x30 + ((token >>> (6 * i)) & 0x3f)
    return bytes
  },
  isEndOfGeneration: (token) => token === endToken,
}
