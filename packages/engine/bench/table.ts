/** Prints a Markdown table: columns of text to the left, of numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const numeric = header.map((_, i) => i > 0 && rows.every((row) => !Number.isNaN(Number(row[i]))))
  console.log(`| ${header.join(' | ')} |\n|${numeric.map((is) => (is ? '--:' : '---')).join('|')}|`)
  for (const row of rows) console.log(`| ${row.join(' | ')} |`)
  console.log('')
}
