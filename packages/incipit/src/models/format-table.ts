import type { FormatReport } from '@incipit/engine'

/** What formats of a model's weights are like, as lines, and how the best of them is used. */
export function formatTable(reports: readonly FormatReport[], path: string): string {
  const own = reports[0]!
  const rows = reports.map((report) => {
    const { format, bytes, promptPerSecond, replyPerSecond, eightRowsMs, divergence, agreement } = report
    return [
      format ?? 'as it is',
      `${(bytes / 2 ** 20).toFixed(0)} MiB`,
      promptPerSecond.toFixed(0),
      replyPerSecond.toFixed(1),
      eightRowsMs.toFixed(1),
      format === undefined ? '' : divergence.toFixed(5),
      format === undefined ? '' : `${(100 * agreement).toFixed(1)}%`,
    ]
  })
  const header = ['weights', 'size', 'prompt tokens/s', 'reply tokens/s', '8 rows ms', 'KL', 'same best token']
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]) =>
    `${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}\n`
  const faster = reports.filter(({ format, promptPerSecond }) => format && promptPerSecond > own.promptPerSecond)
  const near = fastest(faster.filter(({ divergence }) => divergence <= nearlyTheSame))
  const any = fastest(faster)
  const hints = [
    ...(near ? [`${advice(near, own, path)}\n`] : []),
    ...(any && any !== near ? [`${advice(any, own, path)}\n${loss(any)}\n`] : []),
  ]
  const hint = hints.length > 0 ? hints.join('') : 'No format reads prompts faster on this machine.\n'
  return `${own.description}\n\n${line(header)}${rows.map(line).join('')}\n${hint}`
}

// Nats a token: other kernels that round in other places make a half of it.
const nearlyTheSame = 0.01

function fastest(reports: readonly FormatReport[]): FormatReport | undefined {
  return reports.toSorted((a, b) => b.promptPerSecond - a.promptPerSecond)[0]
}

function advice({ format, promptPerSecond }: FormatReport, own: FormatReport, path: string): string {
  const times = (promptPerSecond / own.promptPerSecond).toFixed(2)
  return `${format} reads prompts ${times} times as fast: incipit serve --model ${path} --format ${format}`
}

function loss({ agreement }: FormatReport): string {
  return `  but loses something: it has another best token in ${(100 * (1 - agreement)).toFixed(0)}% of places`
}
