export interface Screen {
  /** The screen as `tmux capture-pane -e` gives it. */
  readonly text: string
  /** Milliseconds since the first one. */
  readonly at: number
}

const fontSize = 14
const cell = { width: 8.43, height: 20 }
const margin = 16
const rest = 2500

/** Screens of a terminal as one animated picture: text, and a rule that shows each in its time. */
export function svgOf(screens: readonly Screen[], columns: number, rows: number): string {
  const frames = screens.filter(({ text }, i) => text !== screens[i - 1]?.text)
  const end = frames.at(-1)!.at + rest
  const width = Math.round(columns * cell.width + 2 * margin)
  const height = rows * cell.height + 2 * margin
  const percent = (at: number) => `${((100 * at) / end).toFixed(2)}%`
  const rules = frames.map(({ at }, i) => {
    const until = frames[i + 1]?.at ?? end
    const before = i === 0 ? '' : '0%{visibility:hidden}'
    const after = until === end ? '' : `${percent(until)}{visibility:hidden}`
    return `@keyframes f${i}{${before}${percent(at)}{visibility:visible}${after}}.f${i}{animation:f${i} ${end}ms step-end infinite}`
  })
  const groups = frames.map(({ text }, i) => `<g class="f f${i}">${lines(text)}</g>`)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    '<title>incipit chat: the reply is begun while the question is typed</title>',
    `<style>text{font:${fontSize}px ui-monospace,Menlo,Consolas,monospace;fill:#e9e6df;white-space:pre}.d{fill:#8f8a80}.f{visibility:hidden}${rules.join('')}</style>`,
    `<rect width="${width}" height="${height}" rx="10" fill="#17181b"/>`,
    ...groups,
    '</svg>\n',
  ].join('\n')
}

function lines(text: string): string {
  let dim = false
  return text
    .split('\n')
    .map((line, row) => {
      const parts = line.split(/\p{Cc}\[([\d;]*)m/u)
      let spans = ''
      for (const [i, part] of parts.entries()) {
        if (i % 2 === 0) spans += part === '' ? '' : dim ? `<tspan class="d">${escaped(part)}</tspan>` : escaped(part)
        else if (part === '2') dim = true
        else if (part === '' || part === '0' || part === '22') dim = false
      }
      const y = margin + row * cell.height + fontSize
      return spans.trim() === '' ? '' : `<text x="${margin}" y="${y}" xml:space="preserve">${spans}</text>`
    })
    .join('')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
