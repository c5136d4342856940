// Texts as they stand in a document, with its line ends.

const closers = /^[)\]}>"'`;,\s]*$/

/**
 * Whether there is nothing but closing brackets and quotes: the editor puts them there while their opening ones are typed,
 * and they come and go with every pair.
 */
export function onlyCloses(text: string): boolean {
  return closers.test(text)
}

/** Line ends become `\n`: that is how code was when models read it. */
export function unixLines(text: string): string {
  return text.replaceAll('\r\n', '\n')
}

/** Offset of the end of the line, before its line end. */
export function lineEnd(text: string, offset: number): number {
  const found = text.indexOf('\n', offset)
  if (found < 0) return text.length
  return text[found - 1] === '\r' && found - 1 >= offset ? found - 1 : found
}

/** Where the text behind the cursor begins for a model: behind what only closes in the cursor's line. */
export function afterStart(text: string, cursor: number): number {
  const end = lineEnd(text, cursor)
  return onlyCloses(text.slice(cursor, end)) ? end : cursor
}
