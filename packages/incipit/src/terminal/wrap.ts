import stringWidth from 'string-width'

/**
 * Breaks lines of a message of the program between words, to so many cells; for what models write there is `WordWrap`. Rows
 * after the first stand below the last column of the line, which begins behind a gap of two spaces, or below its
 * beginning. A word that is longer than a row stays whole.
 */
export function wrap(text: string, columns: number): string {
  return text
    .split('\n')
    .map((line) => wrapLine(line, columns))
    .join('\n')
}

function wrapLine(line: string, columns: number): string {
  if (stringWidth(line) <= columns) return line
  const [head] = /^(?:\S.*? {2,}| *)(?=\S)/.exec(line) ?? ['']
  const indent = ' '.repeat(head.length <= columns / 2 ? head.length : 2)
  const rows: string[] = []
  let row = ''
  for (const word of line.slice(head.length).split(' ')) {
    const start = rows.length === 0 ? head : indent
    const longer = row === '' ? start + word : `${row} ${word}`
    if (row === '' || stringWidth(longer) <= columns) row = longer
    else {
      rows.push(row)
      row = indent + word
    }
  }
  return [...rows, row].join('\n')
}
