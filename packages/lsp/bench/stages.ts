import { median } from '../../engine/bench/numbers.ts'
import { table } from '../../engine/bench/table.ts'
import type { TraceEntry } from '../src/trace.ts'

/** Ghost text that was shown: milliseconds from the keystroke, and what the server says of it. */
export interface Timed {
  readonly ms: number
  readonly entry: TraceEntry
}

/**
 * What the time from keystroke to ghost text is made of, by where that came from. Medians: the whole of it; outside of the
 * request (the change of the text, the way to the server and back); of a completion that was begun for it, up to its first
 * text, and from there on; the tokens that were said by then; the rows of its prompt that were computed.
 */
export function printStages(name: string, timed: readonly Timed[]): void {
  const rows = [...Map.groupBy(timed, ({ entry }) => entry.source)].map(([source, all]) => {
    const begun = source === 'asked' ? all : []
    const of = (numbers: readonly number[]) => (numbers.length === 0 ? '' : median(numbers).toFixed(1))
    const computed = ({ entry: { prompt } }: Timed) =>
      (prompt?.promptTokens ?? Number.NaN) - (prompt?.cachedTokens ?? 0)
    return [
      source,
      all.length,
      of(all.map(({ ms }) => ms)),
      of(all.map(({ ms, entry }) => ms - entry.ms)),
      of(begun.map(({ entry }) => entry.firstMs ?? 0)),
      of(begun.map(({ entry }) => entry.ms - (entry.firstMs ?? 0))),
      of(all.map(({ entry }) => entry.saidTokens ?? 0)),
      of(all.map(computed)),
    ]
  })
  console.log(name)
  table(
    ['source', 'shown', 'ms', 'outside the request', 'to the first text', 'from there', 'tokens', 'rows of the prompt'],
    rows,
  )
}
