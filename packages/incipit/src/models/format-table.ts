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
  const fastest = reports.reduce((best, report) => (report.promptPerSecond > best.promptPerSecond ? report : best))
  const hint =
    fastest.format === undefined
      ? 'No format reads prompts faster on this machine.\n'
      : `${fastest.format} reads prompts ${(fastest.promptPerSecond / own.promptPerSecond).toFixed(2)} times as fast: ` +
        `incipit serve --model ${path} --format ${fastest.format}\n`
  return `${own.description}\n\n${line(header)}${rows.map(line).join('')}\n${hint}`
}
