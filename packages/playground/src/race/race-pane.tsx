import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { engine } from '../api/engine.ts'
import { Markdown } from '../chat/markdown.tsx'
import { download } from '../chat/sidebar.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { ms } from '../ui/format.ts'
import { stored } from '../ui/stored.ts'
import {
  type Frame,
  frameAt,
  type Key,
  type Lane,
  recorded,
  runIncipit,
  runOrdinary,
  type Techniques,
  type Times,
  typed,
} from './race.ts'
import { linkTo, pictureOf, type Result, resultOf } from './share.ts'
import { Timeline, TimelineLegend } from './timeline.tsx'

const techniques = stored<Techniques>('incipit.race', { stream: true, early: true, guesses: true })
const names: Record<keyof Techniques, string> = {
  stream: 'Read while it is typed',
  early: 'Begin the reply in a pause',
  guesses: 'Show guesses',
}

type Phase = 'ready' | 'ordinary' | 'incipit' | 'replay' | 'done' | 'failed'

const phase = signal<Phase>('ready')
const lanes = signal<{ ordinary?: Lane; incipit?: Lane }>({})
const shown = signal<{ ordinary?: Frame | undefined; incipit?: Frame | undefined }>({})
const clock = signal(0)
const problem = signal('')
const result = signal<Result | undefined>(resultOf(location.hash))
const prompt = signal(result.peek()?.prompt ?? 'Why do we dream, and what are dreams good for?')

let race: AbortController | undefined
/** Changes of the text since it was empty, if all of them were typed here. */
let keys: { at: number; base: number; text: string }[] = []
/** More at once is a paste, which is replayed as one. */
const pasted = 40

async function run(): Promise<void> {
  race?.abort()
  const controller = new AbortController()
  race = controller
  const { signal } = controller
  const text = prompt.peek().trim()
  const mine = recorded(keys, performance.now())
  const own = keys.length > 0 && replayed(mine) === prompt.peek()
  const typing: Key[] = own ? mine : text.length > 400 ? [{ before: 700, base: 0, text }] : typed(text)
  lanes.value = {}
  shown.value = {}
  result.value = undefined
  problem.value = ''
  try {
    phase.value = 'ordinary'
    // One after the other, so that neither slows the other down; then both again, side by side.
    const ordinary = await runOrdinary(text, (frame) => show('ordinary', frame), signal)
    lanes.value = { ordinary }
    phase.value = 'incipit'
    const incipit = await runIncipit(typing, techniques.peek(), (frame) => show('incipit', frame), signal)
    lanes.value = { ordinary, incipit }
    await replay(signal)
    const on = (Object.keys(names) as (keyof Techniques)[]).filter((name) => techniques.peek()[name])
    result.value = {
      model: engine.peek()?.model ?? '',
      prompt: text.slice(0, 200),
      ordinary: timesOf(ordinary),
      incipit: timesOf(incipit),
      techniques: on.map((name) => names[name].toLowerCase()),
    }
    phase.value = 'done'
  } catch (error) {
    if (race !== controller) return
    phase.value = signal.aborted ? 'ready' : 'failed'
    if (!signal.aborted) problem.value = error instanceof Error ? error.message : String(error)
  }
}

function show(lane: 'ordinary' | 'incipit', frame: Frame): void {
  shown.value = { ...shown.peek(), [lane]: frame }
  clock.value = frame.at
}

function replayed(keys: readonly Key[]): string {
  return keys.reduce((text, { base, text: more }) => text.slice(0, base) + more, '')
}

function timesOf({ first, stable, committed, done }: Lane): Times {
  return { first, stable, committed, done }
}

/** Shows both lanes on one clock, in real time. */
function replay(signal: AbortSignal): Promise<void> {
  const { ordinary, incipit } = lanes.peek()
  if (!ordinary || !incipit) return Promise.resolve()
  phase.value = 'replay'
  const from = Math.min(0, incipit.first - 300)
  const end = Math.max(ordinary.done, incipit.done)
  const began = performance.now() - from
  return new Promise((resolve, reject) => {
    const draw = () => {
      if (signal.aborted) return reject(signal.reason)
      const at = Math.min(end, performance.now() - began)
      clock.value = at
      shown.value = { ordinary: frameAt(ordinary, at), incipit: frameAt(incipit, at) }
      if (at >= end) return resolve()
      requestAnimationFrame(draw)
    }
    draw()
  })
}

const story =
  'The harbour had been closed since the storm, and the old man who kept the light had not been paid for three months. ' +
  'Every evening he climbed the stairs, wound the clockwork, trimmed the lamp, and wrote the same sentence into the book: ' +
  'nothing to report. On the fourth of March a boat came in without a sail, with a boy in it who would not say his name. '

export function RacePane() {
  const busy = phase.value === 'ordinary' || phase.value === 'incipit' || phase.value === 'replay'
  useEffect(() => () => race?.abort(), [])
  const { ordinary, incipit } = lanes.value
  return (
    <div class="race">
      <form
        class="race-form"
        onSubmit={(event) => {
          event.preventDefault()
          void run()
        }}
      >
        <label class="wide">
          The same question, asked twice
          <textarea
            rows={2}
            dir="auto"
            value={prompt.value}
            onInput={(event) => {
              const { value } = event.currentTarget
              const was = prompt.value
              let base = 0
              while (base < Math.min(was.length, value.length) && was[base] === value[base]) base++
              if (value === '' || value.length - was.length > pasted) keys = []
              if (base === 0 || keys.length > 0) keys.push({ at: performance.now(), base, text: value.slice(base) })
              prompt.value = value
            }}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
              event.preventDefault()
              void run()
            }}
          />
        </label>
        <div class="toolbar">
          {(Object.keys(names) as (keyof Techniques)[]).map((name) => (
            <label key={name} class="check">
              <input
                type="checkbox"
                checked={techniques.value[name]}
                disabled={busy || (name === 'early' && !techniques.value.stream)}
                onChange={(event) => {
                  techniques.value = { ...techniques.value, [name]: event.currentTarget.checked }
                }}
              />
              {names[name]}
            </label>
          ))}
          <button
            type="button"
            class="quiet"
            disabled={busy}
            onClick={() => {
              keys = []
              prompt.value = `${story.repeat(4)}Who came in the boat?`
            }}
          >
            Use a long text
          </button>
          {busy ? (
            <button type="button" class="primary" onClick={() => race?.abort()}>
              Stop
            </button>
          ) : (
            <button type="submit" class="primary" disabled={prompt.value.trim() === ''}>
              Race
            </button>
          )}
        </div>
      </form>
      <Outcome />
      <div class="lanes">
        <LaneView
          name="Ordinary"
          note="sent whole at Enter, nothing guessed"
          about="The model is given the question at Enter, and has to read all of it before its first word."
          frame={shown.value.ordinary}
          lane={ordinary}
        />
        <LaneView
          name="incipit"
          note="as it was typed"
          about="The model reads along while you type, begins to answer in a pause, and releases its answer at Enter."
          frame={shown.value.incipit}
          lane={incipit}
        />
      </div>
    </div>
  )
}

const about: Record<Phase, string> = {
  ready: 'Type a question and press Enter: your typing is replayed key by key. What is pasted counts as one key.',
  ordinary: 'The ordinary way, alone on the machine.',
  incipit: 'The same question as you typed it, alone on the machine.',
  replay: 'Both again, side by side and in real time.',
  done: 'Times count from Enter; they were measured one after the other, each alone on the machine.',
  failed: 'The race was broken off:',
}

function LaneView(props: {
  name: string
  note: string
  /** What happens here, while nothing has. */
  about: string
  frame: Frame | undefined
  lane: Lane | undefined
}) {
  const { name, note, about, frame, lane } = props
  const area = useRef<HTMLElement>(null)
  useEffect(() => {
    if (area.current) area.current.scrollTop = area.current.scrollHeight
  })
  const now = clock.value
  const mark = (value: number | undefined) =>
    value === undefined || (phase.value === 'replay' && now < value) ? '–' : signed(value)
  return (
    <section class="lane" aria-label={name}>
      <h2>
        {name} <small class="faint">{note}</small>
      </h2>
      <dl>
        <div>
          <dt>first word</dt>
          <dd>{mark(lane?.first)}</dd>
        </div>
        <div>
          <dt>that stayed</dt>
          <dd>{mark(lane?.stable)}</dd>
        </div>
        <div>
          <dt>final</dt>
          <dd>{mark(lane?.committed)}</dd>
        </div>
      </dl>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with keys */}
      <section class="lane-text" ref={area} dir="auto" tabIndex={0} aria-label={`Reply, ${name}`}>
        {frame ? (
          <Markdown committed={frame.committed} provisional={frame.provisional} />
        ) : (
          phase.value === 'ready' && <p class="faint">{about}</p>
        )}
      </section>
    </section>
  )
}

/** Time since Enter. */
function signed(value: number): string {
  return value < 0 ? `${ms(-value)} before Enter` : ms(value)
}

/** What came of it, on one axis of time; while it runs, how far it is. */
function Outcome() {
  const { ordinary, incipit } = lanes.value
  const times = ordinary && incipit ? { ordinary: timesOf(ordinary), incipit: timesOf(incipit) } : result.value
  const isReplayed = phase.value === 'replay'
  const isOver = result.value !== undefined && !isReplayed
  return (
    <section class="result" aria-label={isOver ? 'Result' : 'The race'}>
      <div class="headline">
        <p role="status">
          {isOver && result.value ? <Gain {...result.value} /> : <span class="faint">{about[phase.value]}</span>}{' '}
          {phase.value === 'failed' && problem.value}
        </p>
        {isReplayed && (
          <span class="stopwatch" aria-hidden="true">
            {signed(clock.value)}
          </span>
        )}
      </div>
      <Timeline race={times} now={isReplayed ? clock.value : Number.POSITIVE_INFINITY} />
      <div class="toolbar">
        <TimelineLegend />
        <span class="spring" />
        {isOver && result.value && <Share result={result.value} />}
      </div>
    </section>
  )
}

function Gain({ ordinary, incipit, model, techniques }: Result) {
  const gain = ordinary.stable - incipit.stable
  return (
    <>
      <b>{ms(Math.abs(gain))}</b> {gain >= 0 ? 'earlier' : 'later'}: the first word that stayed stood there{' '}
      {incipit.stable < 0 ? `${ms(-incipit.stable)} before Enter` : `${ms(incipit.stable)} after Enter`} instead of{' '}
      {ms(ordinary.stable)} after it.{' '}
      <small class="faint">
        {[model, ...techniques].join(', ')}. {about.done}
      </small>
    </>
  )
}

function Share({ result }: { result: Result }) {
  return (
    <>
      {lanes.value.incipit && (
        <button
          type="button"
          class="quiet"
          onClick={async () => {
            await replay(new AbortController().signal)
            phase.value = 'done'
          }}
        >
          Watch again
        </button>
      )}
      <CopyButton label="Copy a link" text={() => linkTo(result)} icon={false} />
      <button type="button" class="quiet" onClick={async () => download(await pictureOf(result, ms))}>
        Save as a picture
      </button>
    </>
  )
}
