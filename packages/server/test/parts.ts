import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Part, PartReader } from '../src/reply/part.ts'

/** Parts of one kind in one piece, calls as `name(arguments)`, with a `…` where the arguments are cut off. */
export function told(parts: readonly Part[]): string[] {
  const all: string[] = []
  let kind = ''
  for (const part of parts) {
    if (part.type === 'call') all.push(`${part.name}(…`)
    else if (part.type === 'arguments') all[all.length - 1] = `${all.at(-1)!.slice(0, -1)}${part.text}…`
    else if (part.type === 'call_end') all[all.length - 1] = `${all.at(-1)!.slice(0, -1)})`
    else if (kind === part.type) all[all.length - 1] += part.text
    else all.push(`${part.type}: ${part.text}`)
    kind = part.type
  }
  return all
}

/** What is told of a reply, the same wherever its pieces end. */
export function assertTold(open: () => PartReader, text: string, expected: readonly string[]): void {
  const parsed = (pieces: readonly string[]) => {
    const reader = open()
    const parts = pieces.flatMap((piece) => reader.feed(piece))
    return told([...parts, ...reader.end()])
  }
  assert.deepEqual(parsed([text]), expected)
  assert.deepEqual(parsed([...text]), expected)
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (places) => {
      const cuts = [0, ...places.sort((a, b) => a - b), text.length]
      const pieces = cuts.slice(1).map((to, i) => text.slice(cuts[i], to))
      assert.deepEqual(parsed(pieces), expected)
    }),
    { numRuns: 30 },
  )
}
