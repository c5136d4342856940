import type { RelatedChunk } from './fim-format.ts'
import { withoutSecrets } from './secrets.ts'

/** An open file, as far as others may use it. */
export interface OpenFile {
  readonly path: string
  readonly text: string
  /** Offset of the last edit or cursor. */
  readonly cursor: number
  /** When it was last looked at or changed; larger is later. */
  readonly touched: number
}

const chunkLines = 30
const identifier = /[\p{L}_$][\p{L}\p{N}_$]{2,}/gu

/**
 * Chunks of other files that have most in common with what is being written, within a budget of UTF-16 units. Their order
 * is by path, not by score: the same files give the same beginning of a prompt.
 */
export function relatedChunks(
  current: Pick<OpenFile, 'path' | 'text' | 'cursor'>,
  others: readonly OpenFile[],
  budget: number,
): RelatedChunk[] {
  const wanted = words(current.text.slice(Math.max(0, current.cursor - 3000), current.cursor + 500))
  const scored = others
    .filter(({ path, text }) => path !== current.path && text.trim() !== '')
    .map((file) => {
      const text = chunkAround(file.text, file.cursor)
      return { source: file.path, text, score: similarity(wanted, words(text)), touched: file.touched }
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || b.touched - a.touched)
  const chosen: RelatedChunk[] = []
  let left = budget
  for (const { source, text } of scored) {
    const clean = withoutSecrets(text)
    const size = clean.length + source.length
    if (size > left) continue
    left -= size
    chosen.push({ source, text: clean })
  }
  return chosen.sort((a, b) => (a.source < b.source ? -1 : 1))
}

/** Some lines around a place, without the white space at their ends. */
function chunkAround(text: string, cursor: number): string {
  const before = text
    .slice(Math.max(0, cursor - 8000), cursor)
    .split('\n')
    .slice(-chunkLines / 2)
  const after = text
    .slice(cursor, cursor + 8000)
    .split('\n')
    .slice(0, chunkLines / 2)
  return `${before.join('\n')}${after.join('\n')}`.replaceAll('\r', '').trim()
}

function words(text: string): Set<string> {
  return new Set(text.match(identifier) ?? [])
}

/** Shared words over all words (Jaccard). */
function similarity(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let shared = 0
  for (const word of a) if (b.has(word)) shared++
  const all = a.size + b.size - shared
  return all === 0 ? 0 : shared / all
}
