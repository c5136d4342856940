// A byte order mark is text that the model wrote; the decoder must not swallow it, least of all at every piece.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const nothing = new Uint8Array(0)

/**
 * Turns tokens into text one by one. Byte-level vocabularies split characters over tokens, so the bytes of a character
 * that is not complete yet are held back (3 at most); bytes that can never become valid UTF-8 give U+FFFD exactly as a
 * non-fatal `TextDecoder` (with `ignoreBOM`) over all bytes at once would.
 */
export class Detokenizer {
  readonly #bytesOf: (token: number) => Uint8Array
  // The beginning of a character that further bytes can complete: always a valid proper prefix of one.
  #pending: Uint8Array = nothing

  /** @param bytesOf the bytes of a token; they are read at once and may be reused by the caller */
  constructor(bytesOf: (token: number) => Uint8Array) {
    this.#bytesOf = bytesOf
  }

  /** The text that this token completes; empty while a character is incomplete. */
  push(token: number): string {
    const bytes = join(this.#pending, this.#bytesOf(token))
    const end = completeLength(bytes)
    this.#pending = end === bytes.length ? nothing : bytes.slice(end)
    return decoder.decode(bytes.subarray(0, end))
  }

  /** What `push` would return for these tokens together. The state stays; an incomplete end is left out. */
  peek(tokens: readonly number[]): string {
    let bytes = this.#pending
    // Copied: a piece may share its buffer with the next one.
    for (const token of tokens) bytes = join(bytes, this.#bytesOf(token).slice())
    return decoder.decode(bytes.subarray(0, completeLength(bytes)))
  }

  /** The end of the text: U+FFFD when a character was left incomplete, else nothing. Ready for a new text afterwards. */
  flush(): string {
    const text = decoder.decode(this.#pending)
    this.#pending = nothing
    return text
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}

/** Length of `bytes` without an incomplete character at the end that more bytes could complete. */
function completeLength(bytes: Uint8Array): number {
  const length = bytes.length
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back]!
    if (byte < 0x80) return length
    if (byte >= 0xc0) return isProperPrefix(bytes, length - back) ? length - back : length
  }
  return length
}

/** Whether the bytes from the lead byte at `at` to the end are a proper prefix of a valid character (RFC 3629). */
function isProperPrefix(bytes: Uint8Array, at: number): boolean {
  const lead = bytes[at]!
  const width =
    lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0
  if (bytes.length - at >= width) return false
  const second = bytes[at + 1]
  if (second === undefined) return true
  // Four lead bytes narrow the range of the second byte: overlong forms, surrogates, beyond U+10FFFF.
  if (lead === 0xe0) return second >= 0xa0
  if (lead === 0xed) return second <= 0x9f
  if (lead === 0xf0) return second >= 0x90
  if (lead === 0xf4) return second <= 0x8f
  return true
}
