import { useEffect, useRef, useState } from 'preact/hooks'
import type { Rows, Step, Token } from '../api/steps.ts'
import { ms, percent, visible } from '../ui/format.ts'
import { firstTokenOf, type History, type Seen } from './history.ts'

const kinds: Record<Rows['kind'], { colour: string; name: string }> = {
  input: { colour: '--kind-input', name: 'typed text' },
  prompt: { colour: '--kind-prompt', name: 'prompt' },
  lookahead: { colour: '--kind-lookahead', name: 'lookahead' },
  alternative: { colour: '--kind-lookahead', name: 'other continuation' },
  guess: { colour: '--kind-guess', name: 'guesses, verified' },
  reply: { colour: '--kind-reply', name: 'reply' },
}
const legend = ['input', 'prompt', 'lookahead', 'guess', 'reply'] as const

const laneHeight = 34
const gap = 6
const labelWidth = 112
const axisHeight = 22
const requestLanes = 6
const spans = [250, 1000, 4000, 15_000, 60_000] as const

interface Box {
  x: number
  y: number
  width: number
  height: number
  about: string
}

/** Time to the right, a lane for each stage and each of the last requests: who computed what, and what came of it. */
export function Waterfall({ history }: { history: History }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const boxes = useRef<Box[]>([])
  const [span, setSpan] = useState<number>(4000)
  const [live, setLive] = useState(true)
  const [end, setEnd] = useState(0)
  const [tip, setTip] = useState<{ x: number; y: number; text: string } | undefined>()
  const drag = useRef<{ x: number; end: number } | undefined>(undefined)

  useEffect(() => {
    let frame = 0
    let drawn = ''
    const draw = () => {
      frame = requestAnimationFrame(draw)
      const area = canvas.current
      if (!area || area.clientWidth === 0) return
      const until = live ? liveEnd(history, span) : end
      const state = [history.steps.length, history.tokens.length, until, span, area.clientWidth, live].join()
      if (state === drawn) return
      drawn = state
      const moment = !live ? 'paused' : until < history.now() ? 'idle' : 'now'
      boxes.current = paint(area, history, { until, span, moment })
    }
    draw()
    return () => cancelAnimationFrame(frame)
  }, [history, span, live, end])

  const pause = () => {
    if (live) setEnd(liveEnd(history, span))
    setLive(false)
  }
  const pan = (share: number) => {
    const from = live ? liveEnd(history, span) : end
    setLive(false)
    setEnd(from + share * span)
  }
  const zoom = (by: number) => {
    const at = spans.findIndex((value) => value >= span)
    setSpan(spans[Math.max(0, Math.min(spans.length - 1, at + by))]!)
  }
  const height = axisHeight + (history.stages + requestLanes) * (laneHeight + gap)
  return (
    <section class="waterfall" aria-label="Waterfall">
      <h2>
        Steps{' '}
        <small class="faint">
          each as wide as the time it took, as high as the tokens it computed (logarithmic), faint where they were
          dropped
        </small>
      </h2>
      <div class="toolbar">
        <ul class="legend">
          {legend.map((kind) => (
            <li key={kind}>
              <span class={`swatch ${kind}`} aria-hidden="true" /> {kinds[kind].name}
            </li>
          ))}
          <li>
            <span class="swatch line" aria-hidden="true" /> first token
          </li>
          <li>
            <span class="swatch dot" aria-hidden="true" /> guess confirmed
          </li>
          <li>
            <span class="swatch cross" aria-hidden="true" /> rolled back
          </li>
        </ul>
        <span class="spring" />
        <button type="button" class="quiet" onClick={() => zoom(1)} aria-label="Show more time">
          −
        </button>
        <span class="faint">{ms(span)}</span>
        <button type="button" class="quiet" onClick={() => zoom(-1)} aria-label="Show less time">
          +
        </button>
        <button type="button" class="quiet" aria-pressed={live} onClick={() => (live ? pause() : setLive(true))}>
          {live ? 'Live' : 'Go live'}
        </button>
      </div>
      <div class="canvas-box">
        <canvas
          ref={canvas}
          height={height}
          tabIndex={0}
          role="img"
          aria-label="What the engine does, over time. The table below has the same requests. Arrow keys move, plus and minus zoom, space goes live."
          onKeyDown={(event) => {
            const actions: Record<string, () => void> = {
              ArrowLeft: () => pan(-0.25),
              ArrowRight: () => pan(0.25),
              '+': () => zoom(-1),
              '-': () => zoom(1),
              ' ': () => (live ? pause() : setLive(true)),
            }
            const action = actions[event.key]
            if (!action) return
            event.preventDefault()
            action()
          }}
          onWheel={(event) => {
            if (event.deltaX !== 0) pan(event.deltaX / (canvas.current?.clientWidth ?? 1000))
          }}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId)
            drag.current = { x: event.offsetX, end: live ? liveEnd(history, span) : end }
          }}
          onPointerUp={() => {
            drag.current = undefined
          }}
          onPointerMove={(event) => {
            const { offsetX: x, offsetY: y, currentTarget } = event
            if (drag.current && Math.abs(x - drag.current.x) > 3) {
              setLive(false)
              setEnd(drag.current.end + ((drag.current.x - x) / (currentTarget.clientWidth - labelWidth)) * span)
              return
            }
            const box = boxes.current.findLast(
              (box) => x >= box.x - 1 && x <= box.x + box.width + 1 && y >= box.y && y <= box.y + box.height,
            )
            setTip(box && { x, y, text: box.about })
          }}
          onPointerLeave={() => setTip(undefined)}
        />
        {tip && <Tip {...tip} width={canvas.current?.clientWidth ?? 0} />}
        {history.records === 0 && <p class="empty faint">Nothing has run yet. Ask something in Chat.</p>}
      </div>
    </section>
  )
}

function Tip({ x, y, text, width }: { x: number; y: number; text: string; width: number }) {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const style = box.current?.style
    style?.setProperty('left', `${Math.max(0, Math.min(x + 12, width - 330))}px`)
    style?.setProperty('top', `${y + 16}px`)
  }, [x, y, width])
  return (
    <div class="tip" ref={box} aria-hidden="true">
      {text}
    </div>
  )
}

/** Now; but while nothing happens the last that did stays in view. */
function liveEnd(history: History, span: number): number {
  return history.last ? Math.min(history.now(), history.last.at + span / 4) : 0
}

/** @returns what can be pointed at */
function paint(
  canvas: HTMLCanvasElement,
  history: History,
  { until, span, moment }: { until: number; span: number; moment: string },
): Box[] {
  const ratio = devicePixelRatio
  const width = canvas.clientWidth
  const lanes = history.stages + requestLanes
  const height = axisHeight + lanes * (laneHeight + gap)
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
    canvas.style.height = `${height}px`
  }
  const pen = canvas.getContext('2d')!
  const style = getComputedStyle(canvas)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  pen.setTransform(ratio, 0, 0, ratio, 0, 0)
  pen.clearRect(0, 0, width, height)
  pen.font = `12px ${style.fontFamily}`
  pen.textBaseline = 'middle'
  const from = until - span
  const xOf = (at: number) => labelWidth + ((at - from) / span) * (width - labelWidth)
  axis(pen, { width, height, span, moment, colour })

  const boxes: Box[] = []
  const latest = history.within(from, until, requestLanes)
  const laneOf = new Map(latest.map(({ request }, i) => [request, history.stages + i]))
  const top = (lane: number) => axisHeight + lane * (laneHeight + gap)
  for (let lane = 0; lane < lanes; lane++) {
    const seen = latest[lane - history.stages]
    pen.fillStyle = colour('--wash')
    pen.fillRect(labelWidth, top(lane), width - labelWidth, laneHeight)
    const first = seen && firstTokenOf(seen)
    const name = lane < history.stages ? nameOfStage(history, lane) : seen ? nameOf(seen) : ''
    const middle = top(lane) + laneHeight / 2
    pen.fillStyle = colour('--ink')
    pen.fillText(name, 0, first === undefined ? middle : middle - 8, labelWidth - 8)
    pen.fillStyle = colour('--grey')
    if (first !== undefined) pen.fillText(`first after ${ms(first)}`, 0, middle + 8, labelWidth - 8)
  }
  const put = (
    lane: number,
    at: number,
    duration: number,
    kind: Rows['kind'],
    share: number,
    wasted: boolean,
    about: string,
  ) => {
    const x = Math.max(labelWidth, xOf(at))
    const right = xOf(at + duration)
    if (right < labelWidth || x > width) return
    const box = {
      x,
      y: top(lane) + laneHeight * (1 - share),
      width: Math.max(1, right - x - 0.5),
      height: laneHeight * share,
    }
    pen.globalAlpha = wasted ? 0.35 : 1
    pen.fillStyle = colour(kinds[kind].colour)
    pen.fillRect(box.x, box.y, box.width, box.height)
    pen.globalAlpha = 1
    boxes.push({ ...box, y: top(lane), height: laneHeight, about })
  }
  for (const step of history.steps) {
    if (step.at + step.ms < from || step.at > until || step.rows.length === 0) continue
    const total = step.rows.reduce((sum, rows) => sum + rows.to - rows.from, 0)
    const most = step.rows.reduce((a, b) => (b.to - b.from > a.to - a.from ? b : a))
    // Steps of few rows and of hundreds are both seen.
    const share = 0.25 + 0.75 * Math.min(1, Math.log2(total + 1) / 9)
    put(step.stage, step.at, step.ms, most.kind, share, step.result !== 'done', aboutStep(step, total))
    for (const rows of step.rows) {
      const lane = laneOf.get(rows.request)
      if (lane === undefined) continue
      const size = 0.25 + 0.55 * Math.min(1, Math.log2(rows.to - rows.from + 1) / 9)
      put(
        lane,
        step.at,
        step.ms,
        rows.kind,
        size,
        rows.valid < rows.to || step.result !== 'done',
        aboutRows(rows, step),
      )
    }
  }
  for (const [i, { firstToken }] of latest.entries()) {
    if (firstToken === undefined || firstToken < from || firstToken > until) continue
    pen.fillStyle = colour('--ink')
    pen.fillRect(xOf(firstToken) - 1, top(history.stages + i), 2, laneHeight)
  }
  for (const token of history.tokens) {
    const lane = laneOf.get(token.request)
    if (lane === undefined || token.at < from || token.at > until) continue
    const x = xOf(token.at)
    const y = top(lane) + 7
    if (token.guessed === true) dot(pen, x, y, colour('--kind-reply'))
    if (token.rejected) cross(pen, x, y, colour('--kind-wrong'))
    if (token.guessed !== undefined || token.rejected)
      boxes.push({ x: x - 3, y: top(lane), width: 6, height: 14, about: aboutToken(token) })
  }
  return boxes
}

function axis(
  pen: CanvasRenderingContext2D,
  view: { width: number; height: number; span: number; moment: string; colour: (name: string) => string },
): void {
  const { width, height, span, moment, colour } = view
  const step = span / 4
  for (let back = 0; back <= span; back += step) {
    const x = labelWidth + (1 - back / span) * (width - labelWidth)
    pen.fillStyle = colour('--line')
    pen.fillRect(Math.round(x) - 1, axisHeight - 4, 1, height)
    pen.fillStyle = colour('--grey')
    pen.textAlign = back === 0 ? 'right' : 'center'
    if (back < span) pen.fillText(back === 0 ? moment : `−${ms(back)}`, x, axisHeight / 2 - 2)
  }
  pen.textAlign = 'left'
}

function dot(pen: CanvasRenderingContext2D, x: number, y: number, colour: string): void {
  pen.fillStyle = colour
  pen.beginPath()
  pen.arc(x, y, 2.6, 0, 2 * Math.PI)
  pen.fill()
}

function cross(pen: CanvasRenderingContext2D, x: number, y: number, colour: string): void {
  pen.strokeStyle = colour
  pen.lineWidth = 1.6
  pen.beginPath()
  for (const [dx, dy] of [
    [-3, -3],
    [-3, 3],
  ] as const) {
    pen.moveTo(x + dx, y + dy)
    pen.lineTo(x - dx, y - dy)
  }
  pen.stroke()
}

function nameOfStage({ stages, devices }: History, stage: number): string {
  if (stages === 1) return 'model'
  return new Set(devices).size > 1 ? `stage ${stage}, device ${devices[stage] ?? '?'}` : `stage ${stage}`
}

export function nameOf({ request, tier, input, early }: Seen): string {
  // Whether it is still open nobody says.
  if (input && tier === '') return `text ${request}`
  return `${early ? 'early ' : ''}${tier || 'request'} ${request}`
}

function aboutStep({ ms: duration, result, rows }: Step, total: number): string {
  const state = result === 'done' ? '' : `, ${result}`
  return `${total} ${total === 1 ? 'row' : 'rows'} in ${ms(duration)}${state}\n${rows
    .slice(0, 6)
    .map((rows) => `request ${rows.request}: ${kinds[rows.kind].name} ${rows.from}–${rows.to}${quoted(rows.text)}`)
    .join('\n')}`
}

function aboutRows(rows: Rows, step: Step): string {
  const wasted = rows.valid < rows.to ? `, ${rows.to - rows.valid} of them rolled back while they ran` : ''
  return `${kinds[rows.kind].name}: tokens ${rows.from} to ${rows.to} in ${ms(step.ms)}${wasted}${quoted(rows.text)}`
}

function aboutToken({ text, source, stability, guessed, rejected }: Token): string {
  const sure = stability === undefined ? '' : `, ${percent(stability)} sure`
  const what = text === undefined ? 'a token' : `“${visible(text)}”`
  if (guessed) return `${what} was guessed by ${source}${sure}, and confirmed`
  return `${what} instead of a guess of ${source ?? 'somebody'}${sure}; ${rejected} rolled back`
}

function quoted(text: string | undefined): string {
  return text === undefined || text === '' ? '' : `\n“${visible(text)}”`
}
