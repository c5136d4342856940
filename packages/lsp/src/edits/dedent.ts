import { indentOf } from '../suggest/situation.ts'

/** Lines without the indentation that all of them share. */
export interface Dedented {
  readonly text: string
  readonly indent: string
}

export function dedented(text: string): Dedented {
  const lines = text.split('\n')
  const indents = lines.filter((line) => line.trim() !== '').map(indentOf)
  let indent = indents[0] ?? ''
  for (const each of indents) while (!each.startsWith(indent)) indent = indent.slice(0, -1)
  // White space alone may be shorter than that.
  const bare = lines.map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line.trimStart()))
  return { text: bare.join('\n'), indent }
}
