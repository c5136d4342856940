import type { ComponentChildren } from 'preact'
import { ms } from '../ui/format.ts'
import type { Times } from './race.ts'

interface Race {
  readonly ordinary: Times
  readonly incipit: Times
}

/** A stretch of a lane: nothing stands there before, then words that may be taken back, then final ones. */
interface Stretch {
  readonly kind: 'provisional' | 'committed'
  readonly from: number
  readonly to: number
}

export function stretches({ first, committed }: Times, end: number): Stretch[] {
  const parts: Stretch[] = [
    { kind: 'provisional', from: first, to: committed },
    { kind: 'committed', from: committed, to: end },
  ]
  return parts.filter(({ from, to }) => to > from)
}

/** The part of the time that is shown: from before the first word until both have had a while of final words. */
export function spanOf({ ordinary, incipit }: Race): { from: number; to: number } {
  const last = Math.max(ordinary.committed, incipit.committed)
  const first = Math.min(0, ordinary.first, incipit.first)
  const margin = (last - first) * 0.12 + 20
  return { from: first - margin, to: last + 2 * margin }
}

/**
 * Both lanes on one axis of time.
 * @param now so far it is shown
 */
export function Timeline({ race, now }: { race: Race | undefined; now: number }) {
  const span = race ? spanOf(race) : { from: -1, to: 3 }
  const place = (at: number) => (100 * (Math.max(span.from, Math.min(span.to, at)) - span.from)) / (span.to - span.from)
  const lane = (times: Times | undefined) =>
    (times ? stretches(times, span.to) : []).map(({ kind, from, to }) => (
      <Bar key={kind} kind={kind} from={place(Math.min(from, now))} to={place(Math.min(to, now))} />
    ))
  return (
    <div class="timeline" aria-hidden="true">
      <span>Ordinary</span>
      <Track enter={place(0)}>{lane(race?.ordinary)}</Track>
      <span>incipit</span>
      <Track enter={place(0)}>{lane(race?.incipit)}</Track>
      <span />
      <p class="axis faint">
        <span class="at" style={{ insetInlineStart: `${place(0)}%` }}>
          Enter
        </span>
        {race && ms(span.to)}
      </p>
    </div>
  )
}

function Track({ enter, children }: { enter: number; children: ComponentChildren }) {
  return (
    <div class="track">
      {children}
      <span class="enter" style={{ insetInlineStart: `${enter}%` }} />
    </div>
  )
}

function Bar({ kind, from, to }: { kind: Stretch['kind']; from: number; to: number }) {
  return <span class={`bar ${kind}`} style={{ insetInlineStart: `${from}%`, width: `${to - from}%` }} />
}

/** What the bars say. */
export function TimelineLegend() {
  return (
    <ul class="legend">
      <li>
        <span class="swatch nothing" aria-hidden="true" /> nothing yet
      </li>
      <li>
        <span class="swatch provisional" aria-hidden="true" /> words that may be taken back
      </li>
      <li>
        <span class="swatch committed" aria-hidden="true" /> final words
      </li>
    </ul>
  )
}
