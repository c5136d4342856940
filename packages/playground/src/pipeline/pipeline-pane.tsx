import { signal } from '@preact/signals'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { engine, refresh } from '../api/engine.ts'
import { onRecords, recent, watching } from '../api/steps.ts'
import { conversations } from '../chat/conversations.ts'
import { LikelyTokens } from '../likely-tokens.tsx'
import { ms, percent } from '../ui/format.ts'
import { CostCurves, type Reply, TtftDistribution, TtftHistory } from './charts.tsx'
import { firstTokenOf, History } from './history.ts'
import { nameOf, Waterfall } from './waterfall.tsx'

const history = new History()
history.take(recent)
onRecords((records) => {
  history.take(records)
})
/** Records that the tables have seen. */
const seenRecords = signal(0)
/** Tables follow the stream this often; the waterfall follows it at once. */
const tableMs = 500
const cardMs = 2000

export function PipelinePane() {
  useEffect(() => {
    const follow = () => {
      seenRecords.value = history.records
    }
    let asked = history.records
    // To ask what a model has done is to use it: while it does nothing it is left alone, and may be unloaded.
    const ask = () => {
      if (history.records !== asked) void refresh()
      asked = history.records
    }
    follow()
    void refresh()
    const tables = setInterval(follow, tableMs)
    const card = setInterval(ask, cardMs)
    return () => {
      clearInterval(tables)
      clearInterval(card)
    }
  }, [])
  const replies = useReplies()
  return (
    <div class="pipeline">
      <Load records={seenRecords.value} />
      <Waterfall history={history} />
      <Requests records={seenRecords.value} />
      <section aria-label="Times">
        <h2>Times</h2>
        <div class="charts">
          {replies.length > 0 && <TtftHistory replies={replies} />}
          {replies.length > 0 && <TtftDistribution replies={replies} />}
          {replies.length === 0 && (
            <p class="faint">How long replies took to their first word stands here when Chat has some.</p>
          )}
          <Costs />
        </div>
      </section>
    </div>
  )
}

/** Replies that this browser keeps, the oldest first. */
function useReplies(): Reply[] {
  const all = conversations.value
  return useMemo(
    () =>
      [...all]
        .sort((a, b) => a.updated - b.updated)
        .flatMap(({ turns }) => turns)
        .flatMap(({ firstMs, timings }) =>
          firstMs === undefined || typeof timings?.committed_ms !== 'number'
            ? []
            : [{ first: firstMs, committed: timings.committed_ms }],
        )
        .slice(-200),
    [all],
  )
}

function Load({ records }: { records: number }) {
  const card = engine.value
  const { value: state } = watching
  if (!card) return null
  const { stats, tiers } = card
  const busy = stats.decode_ms + stats.overhead_ms
  return (
    <section class="load" aria-label="Load">
      <h2>Load</h2>
      <dl>
        <Figure name="running" value={`${stats.running}`} />
        <Figure name="waiting" value={`${stats.waiting}`} />
        <Figure name="cache in use" value={percent(stats.cells_used / stats.cells)} />
        <Figure name="prompt tokens ready" value={share(stats.cached_tokens, stats.prompt_tokens)} />
        <Figure name="guesses right" value={share(stats.accepted, stats.drafted)} />
        <Figure
          name="time outside the model"
          value={busy === 0 ? '–' : `${((100 * stats.overhead_ms) / busy).toFixed(1)}%`}
        />
        {Object.entries(stats.proposers).map(([name, { drafted, accepted }]) => (
          <Figure key={name} name={`guessed by ${name}`} value={`${accepted} of ${drafted} right`} />
        ))}
      </dl>
      <ul class="tiers" aria-label="Tiers: wanted time to the first word, and what the last requests took">
        {tiers.map(({ name, ttft_ms }) => (
          <TierLight key={name} name={name} wanted={ttft_ms} records={records} />
        ))}
      </ul>
      <LikelyTokens />
      {state === 'lost' && (
        <p class="problem" role="status">
          The stream of steps is lost; it is asked for again.
        </p>
      )}
      {history.missing > 0 && (
        <p class="faint" role="status">
          {history.missing} records were too many to be told.
        </p>
      )}
    </section>
  )
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : percent(part / whole)
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

/** Requests of a tier that its light is made of. */
const lately = 20

function TierLight({ name, wanted }: { name: string; wanted: number; records: number }) {
  const times = history
    .latest(500)
    .filter((seen) => seen.tier === name && !seen.wasEarly)
    .map(firstTokenOf)
    .filter((time) => time !== undefined)
    .slice(0, lately)
    .sort((a, b) => a - b)
  const median = times[times.length >> 1]
  const state = median === undefined ? 'unknown' : median <= wanted ? 'on' : median <= 2 * wanted ? 'slow' : 'off'
  return (
    <li title={`${name}: first token wanted within ${ms(wanted)}`} class={median === undefined ? 'faint' : undefined}>
      <span class={`light ${state}`} aria-hidden="true" /> {name}{' '}
      {median === undefined ? (
        <span class="unseen">not used</span>
      ) : (
        <span class="faint">{`${ms(median)} of ${ms(wanted)}`}</span>
      )}
    </li>
  )
}

/** Requests in the table, as long as nobody wants more. */
const fewRequests = 8

function Requests({ records }: { records: number }) {
  const [all, showAll] = useState(false)
  const seen = history.latest(all ? 100 : fewRequests)
  if (records === 0) return null
  return (
    <section aria-label="Requests">
      <h2>Requests</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with keys */}
      <section class="scroll requests-table" tabIndex={0} aria-label="Table of requests">
        <table class="requests">
          <thead>
            <tr>
              <th>request</th>
              <th>prompt</th>
              <th>ready</th>
              <th>first token</th>
              <th>tokens</th>
              <th>guessed right</th>
              <th>rolled back</th>
              <th>state</th>
            </tr>
          </thead>
          <tbody>
            {seen.map((one) => {
              const first = firstTokenOf(one)
              return (
                <tr key={one.request}>
                  <th>{nameOf(one)}</th>
                  <td>{one.promptTokens || '–'}</td>
                  <td>{one.promptTokens === 0 ? '–' : one.cachedTokens}</td>
                  <td>{first === undefined ? '–' : ms(first)}</td>
                  <td>{one.tokens}</td>
                  <td>{one.right}</td>
                  <td>{one.rejected}</td>
                  <td>{one.reason ?? (one.began === undefined ? '–' : 'running')}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </section>
      {history.requests.size > fewRequests && (
        <button type="button" class="quiet" onClick={() => showAll(!all)}>
          {all ? 'Fewer' : 'More'}
        </button>
      )}
    </section>
  )
}

function Costs() {
  const costs = engine.value?.costs
  // A chart is made anew only when what it shows is another.
  const key = JSON.stringify(costs)
  const data = useMemo(() => costs ?? [], [key])
  return data.length > 0 ? <CostCurves costs={data} /> : null
}
