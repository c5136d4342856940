import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { settings } from '../settings.ts'

const height = 190

/** A chart as wide as its place. */
function Chart(props: { label: string; options: Omit<uPlot.Options, 'width' | 'height'>; data: uPlot.AlignedData }) {
  const { label, options, data } = props
  const place = useRef<HTMLDivElement>(null)
  const { theme } = settings.value
  useEffect(() => {
    const box = place.current!
    const chart = new uPlot({ ...options, width: Math.max(200, box.clientWidth), height }, data, box)
    const observer = new ResizeObserver(() => chart.setSize({ width: Math.max(200, box.clientWidth), height }))
    observer.observe(box)
    return () => {
      observer.disconnect()
      chart.destroy()
    }
  }, [data, theme])
  return (
    <figure class="chart">
      <figcaption>{label}</figcaption>
      <div ref={place} role="img" aria-label={label} />
    </figure>
  )
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

function axes(x: string, y: string): uPlot.Axis[] {
  const shared = () => ({
    stroke: () => colour('--grey'),
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui',
    labelFont: '11px system-ui',
    labelSize: 16,
  })
  return [
    { ...shared(), label: x, size: 28, gap: 3, labelGap: 0, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] },
    { ...shared(), label: y, size: 46 },
  ]
}

const points = (name: string, stroke: string): uPlot.Series => ({
  label: name,
  stroke: () => colour(stroke),
  width: 1.5,
  points: { show: true, size: 5, fill: () => colour(stroke) },
})

export interface Reply {
  /** The first word that stayed, milliseconds from Enter. */
  first: number
  committed: number
}

/** How long each reply of this browser took to its first word. */
export function TtftHistory({ replies }: { replies: readonly Reply[] }) {
  const data: uPlot.AlignedData = [
    replies.map((_, i) => i + 1),
    replies.map(({ first }) => first),
    replies.map(({ committed }) => committed),
  ]
  return (
    <Chart
      label="First word of each reply, ms after Enter"
      data={data}
      options={{
        scales: { x: { time: false } },
        axes: axes('reply', 'ms'),
        series: [{}, points('seen', '--accent'), points('model’s own time', '--kind-lookahead')],
        legend: { live: false },
        cursor: { show: false },
      }}
    />
  )
}

/** How the times are distributed, in steps of a factor of two. */
export function TtftDistribution({ replies }: { replies: readonly Reply[] }) {
  const bucketOf = (value: number) => (value <= 0 ? 0 : Math.max(0, Math.round(Math.log2(value)) + 1))
  const buckets = replies.map(({ first }) => bucketOf(first))
  const most = Math.max(8, ...buckets)
  const counts = Array.from({ length: most + 1 }, (_, i) => buckets.filter((bucket) => bucket === i).length)
  const data: uPlot.AlignedData = [counts.map((_, i) => i), counts]
  const names = (value: number) => (value === 0 ? 'before' : `${2 ** (value - 1)}`)
  const [x, y] = axes('ms after Enter', 'replies')
  return (
    <Chart
      label="How often a first word took so long"
      data={data}
      options={{
        scales: { x: { time: false, range: [-0.6, most + 0.6] }, y: { range: (_, __, max) => [0, Math.max(1, max)] } },
        axes: [
          { ...x!, values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? names(value) : '')) },
          { ...y!, values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? String(value) : '')) },
        ],
        series: [
          {},
          {
            label: 'replies',
            stroke: () => colour('--accent'),
            fill: () => colour('--selection'),
            paths: uPlot.paths.bars!({ size: [0.8, 60] }),
            points: { show: false },
          },
        ],
        legend: { show: false },
        cursor: { show: false },
      }}
    />
  )
}

/** What the cost model has measured: milliseconds by rows of a step. */
export function CostCurves({
  costs,
}: {
  costs: readonly (readonly { rows: number; ms: number; loose?: boolean }[])[]
}) {
  const rows = [...new Set(costs.flat().map(({ rows }) => rows))].sort((a, b) => a - b)
  const line = (stage: (typeof costs)[number]) =>
    rows.map((at) => stage.find((point) => point.rows === at && !point.loose)?.ms ?? null)
  const data = [rows, ...costs.map(line)] as uPlot.AlignedData
  const strokes = ['--accent', '--kind-lookahead', '--kind-guess', '--kind-reply']
  return (
    <Chart
      label="What a step costs by its rows, as measured: speculation is decided by it"
      data={data}
      options={{
        scales: { x: { time: false, distr: 3, log: 2 }, y: { distr: 3, log: 10 } },
        axes: axes('rows', 'ms'),
        series: [
          {},
          ...costs.map((_, i) => ({
            ...points(costs.length === 1 ? 'model' : `stage ${i}`, strokes[i % strokes.length]!),
            spanGaps: true,
          })),
        ],
        legend: { live: false },
        cursor: { show: false },
      }}
    />
  )
}
