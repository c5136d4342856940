import type { Lane } from './race.ts'

/** The result of a race, as a link carries it. */
export interface Result {
  model: string
  prompt: string
  ordinary: Omit<Lane, 'frames'>
  incipit: Omit<Lane, 'frames'>
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
    pen.fillText(text, x, y, 1200 - x - 70)
  }
  const sans = 'system-ui, sans-serif'
  pen.fillStyle = colour('--paper')
  pen.fillRect(0, 0, 1200, 630)
  line('incipit', 70, 105, 'italic 52px Georgia, serif', colour('--ink'))
  line(`“${result.prompt.replace(/\s+/g, ' ').slice(0, 90)}”`, 70, 175, `28px ${sans}`, colour('--grey'))
  const longest = Math.max(result.ordinary.committed, result.incipit.committed, 1)
  for (const [i, [name, lane]] of (
    [
      ['ordinary', result.ordinary],
      ['incipit', result.incipit],
    ] as const
  ).entries()) {
    const y = 255 + i * 150
    line(name, 70, y, `26px ${sans}`, colour('--ink'))
    pen.fillStyle = colour('--wash')
    pen.fillRect(70, y + 22, 1060, 40)
    pen.fillStyle = colour(i === 0 ? '--grey' : '--accent')
    pen.fillRect(70, y + 22, Math.max(3, (1060 * Math.max(0, lane.stable)) / longest), 40)
    const before = lane.stable < 0 ? `${ms(-lane.stable)} before Enter` : ms(lane.stable)
    line(`first word that stayed: ${before}, final: ${ms(lane.committed)}`, 70, y + 98, `24px ${sans}`, colour('--ink'))
  }
  line(`${result.model} · ${result.techniques.join(', ')}`, 70, 580, `22px ${sans}`, colour('--grey'))
  return new File([await canvas.convertToBlob({ type: 'image/png' })], 'incipit-race.png', { type: 'image/png' })
}
