import { readFileSync } from 'node:fs'

/** A line of the results. */
export type Line =
  | { readonly kind: 'row'; readonly table: string; readonly row: TableRow }
  /** A file to be written beside the results. */
  | { readonly kind: 'file'; readonly name: string; readonly content: unknown }
  | { readonly kind: 'note'; readonly text: string }
  /** How a part ended. */
  | { readonly kind: 'end'; readonly part: string; readonly seconds: number; readonly failure?: string }

export type TableRow = Readonly<Record<string, string | number>>

/** What a part says as soon as it knows it: standard output is read line by line. */
export function say(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

export function row(table: string, row: TableRow): void {
  say({ kind: 'row', table, row })
}

/** The lines of a file; none where there is no file. A last line that was cut off is left out. */
export function readLines(path: string): Line[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return []
  }
  return text.split('\n').flatMap((line) => parseLine(line) ?? [])
}

export function parseLine(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line
  } catch {
    return undefined
  }
}
