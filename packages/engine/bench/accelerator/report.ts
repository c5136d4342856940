import type { Line, TableRow } from './results.ts'

const heading = `# Figures of an accelerator

Models in the shapes of real ones, with random weights. Times are real; what the models say is words in no order. So nothing
here says how often a guess stays: looks, exits and drafts of such a model are right by chance, and committed times with a
guess are those of guesses that were wrong. "Plain" is llama.cpp through the same library on the same device, in turns.
`

/** Everything that is known so far, as Markdown. */
export function report(lines: readonly Line[]): string {
  const tables = new Map<string, TableRow[]>()
  const notes: string[] = []
  for (const line of lines) {
    if (line.kind === 'row') tables.set(line.table, [...(tables.get(line.table) ?? []), line.row])
    if (line.kind === 'note') notes.push(`- ${line.text}`)
  }
  const parts = lines.flatMap((line): TableRow[] =>
    line.kind === 'end' ? [{ part: line.part, seconds: line.seconds, failure: line.failure ?? '' }] : [],
  )
  return [
    heading,
    ...(notes.length > 0 ? [`${notes.join('\n')}\n`] : []),
    ...[...tables].map(([title, rows]) => section(title, rows)),
    section('Parts', parts),
  ].join('\n')
}

function section(title: string, rows: readonly TableRow[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const numeric = columns.map((name) => rows.every((row) => !Number.isNaN(Number(row[name] ?? ''))))
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  return [
    `## ${title}\n`,
    line(columns),
    `|${numeric.map((is) => (is ? '--:' : '---')).join('|')}|`,
    ...rows.map((row) => line(columns.map((name) => row[name] ?? ''))),
    '',
  ].join('\n')
}
