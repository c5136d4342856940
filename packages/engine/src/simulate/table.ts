import type { MachineProfile } from './profile.ts'
import type { Percentiles, SimulationReport } from './report.ts'
import type { Sweep } from './sweep.ts'

/** A Markdown table; columns after the first are right-aligned. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(header), `|${header.map((_, i) => (i === 0 ? '---' : '--:')).join('|')}|`, ...rows.map(line)].join('\n')
}

function ms(value: number): string {
  if (Number.isNaN(value)) return '-'
  return value < 100 ? value.toFixed(1) : value.toFixed(0)
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)}%`
}

function dollars(value: number): string {
  return Number.isFinite(value) ? `$${value.toPrecision(3)}` : '-'
}

/** What a simulation says, for people: two Markdown tables. */
export function reportTable(profile: MachineProfile, report: SimulationReport): string {
  const { ttft, rows, drafts } = report
  const three = ({ p50, p95, p99 }: Percentiles) => `${ms(p50)} / ${ms(p95)} / ${ms(p99)}`
  const facts: [string, string][] = [
    ['replies', `${report.replies} in ${report.seconds.toFixed(1)} s (${report.repliesPerSecond.toPrecision(3)}/s)`],
    ['TTFT committed, ms (p50 / p95 / p99)', three(ttft.committed)],
    ['TTFT stable, ms', three(ttft.stable)],
    ['TTFT provisional, ms', three(ttft.provisional)],
    ['inter-token latency, ms', three(report.itl)],
    ['whole reply, ms', three(report.replyMs)],
    ['goodput', `${percent(report.good.share)}, ${report.good.perSecond.toPrecision(3)} replies/s`],
    ['reply tokens/s', report.replyTokensPerSecond.toFixed(0)],
    ['prompt tokens/s', `${report.promptTokensPerSecond.toFixed(0)}, ${percent(report.reusedShare)} of them reused`],
    ['devices busy', report.utilisation.map(percent).join(', ')],
    ['rows per step', (rows.run / report.steps).toFixed(1)],
    [
      'rows wasted',
      `${percent(rows.wastedShare)} (drafts ${percent(rows.drafts / rows.run)}, looks ${percent(rows.looks / rows.run)}, ` +
        `computed again ${percent(rows.again / rows.run)})`,
    ],
    ['drafts accepted', `${drafts.accepted} of ${drafts.offered}`],
    ['preemptions', String(report.preemptions)],
    ['rent per 1,000 replies', dollars(report.dollarsPer1000.replies)],
    ['rent per 1,000 good replies', dollars(report.dollarsPer1000.goodReplies)],
  ]
  const kinds = report.kinds.map(({ kind, tier, replies, ttft, itl, goodShare }) => [
    kind,
    tier,
    String(replies),
    `${ms(ttft.p50)} / ${ms(ttft.p95)}`,
    `${ms(itl.p50)} / ${ms(itl.p95)}`,
    percent(goodShare),
  ])
  return [
    `${profile.name}: ${profile.description}; $${profile.dollarsPerHour} an hour`,
    table(['', ''], facts),
    table(['kind', 'tier', 'replies', 'TTFT stable ms p50 / p95', 'ITL ms p50 / p95', 'good'], kinds),
  ].join('\n\n')
}

/** When speculation pays, for people: Markdown tables by load and acceptance. */
export function sweepTable(profile: MachineProfile, { rows, capacities }: Sweep): string {
  const acceptances = rows[0]!.cells.map(({ acceptance }) => acceptance.toString())
  const cells = rows.map(({ load, perSecond, off, dollarsPer1000, cells }) => [
    `${(100 * load).toFixed(0)}% (${perSecond.toPrecision(3)}/s)`,
    `${ms(off.ttft.stable.p50)} / ${ms(off.ttft.stable.p95)}; ${ms(off.replyMs.p50)}; ${dollars(dollarsPer1000)}`,
    ...cells.map(({ ttft, replyRatio, costRatio, pays }) => {
      const cost = Number.isFinite(costRatio) ? costRatio.toFixed(2) : '-'
      return `${ms(ttft.p50)} / ${ms(ttft.p95)}; ${replyRatio.toFixed(2)}; ${cost}${pays ? ' **pays**' : ''}`
    }),
  ])
  const most = capacities.map(({ acceptance, repliesPerSecond, dollarsPer1000 }) => [
    acceptance === undefined ? 'off' : acceptance.toString(),
    repliesPerSecond.toPrecision(3),
    (repliesPerSecond / capacities[0]!.repliesPerSecond).toFixed(2),
    dollars(dollarsPer1000),
  ])
  return [
    `${profile.name}: ${profile.description}; $${profile.dollarsPerHour} an hour`,
    'Stable TTFT p50 / p95 in ms; time of a whole reply (off: p50 in ms, on: ratio to off); rent per 1,000 replies that kept\n' +
      'their bounds (off: dollars, on: ratio to off). By load (share of the capacity without speculation) and acceptance.',
    table(['load', 'off', ...acceptances], cells),
    'Capacity: replies per second when there is always enough to do.',
    table(['acceptance', 'replies/s', 'ratio', 'rent per 1,000'], most),
  ].join('\n\n')
}
