import type { Times } from './race.ts'
import { spanOf, stretches } from './timeline.tsx'

/** The result of a race, as a link carries it. */
export interface Result {
  model: string
  prompt: string
  ordinary: Times
  incipit: Times
  techniques: string[]
}

/** An address that shows the result. Everything stands in its fragment, which no server is sent. */
export function linkTo(result: Result): string {
  const bytes = new TextEncoder().encode(JSON.stringify(result))
  const text = btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
  return `${location.origin}/#race?${text}`
}

/** The result that an address carries; undefined for any other. Whatever it holds is shown as text and numbers. */
export function resultOf(hash: string): Result | undefined {
  const text = /^#race\?([\w-]+)$/.exec(hash)?.[1]
  if (text === undefined) return undefined
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
    const value = JSON.parse(new TextDecoder().decode(bytes))
    const lane = (from: Record<string, unknown>) => ({
      first: Number(from.first),
      stable: Number(from.stable),
      committed: Number(from.committed),
      done: Number(from.done),
    })
    return {
      model: String(value.model),
      prompt: String(value.prompt).slice(0, 500),
      ordinary: lane(value.ordinary),
      incipit: lane(value.incipit),
      techniques: (value.techniques as unknown[]).map(String),
    }
  } catch {
    return undefined
  }
}

/** The result as a picture. */
export async function pictureOf(result: Result, ms: (value: number) => string): Promise<File> {
  const canvas = new OffscreenCanvas(1200, 630)
  const pen = canvas.getContext('2d')!
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const line = (text: string, x: number, y: number, font: string, fill: string) => {
    pen.font = font
    pen.fillStyle = fill
    pen.fillText(cut(text, 1200 - x - 70), x, y)
  }
  const cut = (text: string, width: number) => {
    let shown = text
    for (let end = text.length; pen.measureText(shown).width > width; ) shown = `${text.slice(0, --end)}…`
    return shown
  }
  const sans = 'system-ui, sans-serif'
  pen.fillStyle = colour('--paper')
  pen.fillRect(0, 0, 1200, 630)
  line('incipit', 70, 105, 'italic 52px Georgia, serif', colour('--ink'))
  line(result.prompt.replace(/\s+/g, ' '), 70, 170, `28px ${sans}`, colour('--grey'))
  const gain = result.ordinary.stable - result.incipit.stable
  pen.textAlign = 'right'
  pen.font = `bold 44px ${sans}`
  pen.fillStyle = colour('--ink')
  pen.fillText(`${ms(Math.abs(gain))} ${gain >= 0 ? 'earlier' : 'later'}`, 1130, 103)
  pen.textAlign = 'left'
  const span = spanOf(result)
  const [left, width] = [70, 1060]
  const place = (at: number) =>
    left + (width * (Math.max(span.from, Math.min(span.to, at)) - span.from)) / (span.to - span.from)
  const colours = { provisional: colour('--tentative'), committed: colour('--ink') }
  for (const [i, [name, lane]] of (
    [
      ['ordinary', result.ordinary],
      ['incipit', result.incipit],
    ] as const
  ).entries()) {
    const y = 255 + i * 150
    line(name, left, y, `26px ${sans}`, colour('--ink'))
    pen.fillStyle = colour('--line')
    pen.fillRect(left, y + 22, width, 40)
    for (const { kind, from, to } of stretches(lane, span.to)) {
      pen.fillStyle = colours[kind]
      pen.fillRect(place(from), y + 22, place(to) - place(from), 40)
    }
    pen.fillStyle = colour('--accent')
    pen.fillRect(place(0) - 2, y + 16, 4, 52)
    const before = lane.stable < 0 ? `${ms(-lane.stable)} before Enter` : ms(lane.stable)
    line(
      `first word that stayed: ${before}, final: ${ms(lane.committed)}`,
      left,
      y + 98,
      `24px ${sans}`,
      colour('--ink'),
    )
  }
  line('Enter', place(0) - 32, 215, `22px ${sans}`, colour('--accent'))
  line(`${result.model} · ${result.techniques.join(', ')}`, 70, 580, `22px ${sans}`, colour('--grey'))
  return new File([await canvas.convertToBlob({ type: 'image/png' })], 'incipit-race.png', { type: 'image/png' })
}
