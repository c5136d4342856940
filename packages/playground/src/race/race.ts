import { openRealtime, type ReplyEvent, RevisableText, streamChat } from '@incipit/client'
import { withModel } from '../api/models.ts'
import { apiKey, chosenModel, headers, session } from '../settings.ts'
import { newId } from '../ui/new-id.ts'

/** A change of the text as it was typed. */
export interface Key {
  /** Milliseconds before Enter. */
  before: number
  base: number
  text: string
}

/** What is on in the right lane; without all of it that lane is the left one. */
export interface Techniques {
  /** What is typed is read meanwhile. */
  stream: boolean
  /** In a pause the reply is begun. */
  early: boolean
  /** Guesses are shown. */
  guesses: boolean
}

/** How a lane stands at a moment. */
export interface Frame {
  /** Milliseconds since Enter; negative while it is typed. */
  at: number
  committed: string
  provisional: string
}

export interface Lane {
  frames: Frame[]
  /** Milliseconds since Enter; the first word of any kind, the first that was never taken back, the first final one. */
  first: number
  stable: number
  committed: number
  done: number
}

/** What the stopwatch shows of a lane. */
export type Times = Omit<Lane, 'frames'>

/** How fast a text that was pasted or written by a script counts as typed, in characters per second. */
const typist = 12
/** A pause is never replayed longer than this. */
const longestPause = 1500

/** Keys as somebody would have typed this text. */
export function typed(text: string, pauseMs = 700): Key[] {
  const length = [...text].length
  let base = 0
  return [...text].map((character, i) => {
    const key = { before: pauseMs + ((length - 1 - i) * 1000) / typist, base, text: character }
    base += character.length
    return key
  })
}

/** Keys with their pauses cut short, and relative to Enter. */
export function recorded(keys: readonly { at: number; base: number; text: string }[], enter: number): Key[] {
  let later = enter
  let before = 0
  return keys
    .map(({ at, base, text }) => ({ at, base, text }))
    .reverse()
    .map(({ at, base, text }) => {
      before += Math.min(longestPause, Math.max(0, later - at))
      later = at
      return { before, base, text }
    })
    .reverse()
}

const maxTokens = 96

/** The ordinary way: nothing is sent before Enter, nothing is guessed, nothing was kept. */
export function runOrdinary(prompt: string, onFrame: (frame: Frame) => void, signal: AbortSignal): Promise<Lane> {
  const { instructions: system, temperature } = session.peek()
  const model = chosenModel.peek()
  const body = {
    messages: [...(system ? [{ role: 'system', content: system }] : []), { role: 'user', content: prompt }],
    temperature,
    seed: 1,
    max_tokens: maxTokens,
    speculate: false,
    cache_prompt: false,
    ...(model !== '' && { model }),
  }
  return follow(streamChat('/v1/chat/completions', body, { headers: headers.peek(), signal }), onFrame)
}

/** The same over a socket, as it was typed. Nobody else's rows are used: the namespace is a new one. */
export async function runIncipit(
  keys: readonly Key[],
  techniques: Techniques,
  onFrame: (frame: Frame) => void,
  signal: AbortSignal,
): Promise<Lane> {
  const { stream, early, guesses } = techniques
  const chat = openRealtime(withModel('/v1/realtime'), {
    session: {
      ...session.peek(),
      seed: 1,
      max_output_tokens: maxTokens,
      provisional: guesses || early,
      policy: 'committed',
      speculate: stream ? (early ? 'reply' : 'prefill') : 'off',
      cache_salt: newId(),
    },
    ...(apiKey.peek() !== '' && { apiKey: apiKey.peek() }),
    signal,
  })
  try {
    await opened(chat.subscribe)
    const enter = performance.now() + (keys[0]?.before ?? 0)
    const frames: Frame[] = []
    const show = ({ committed, provisional }: { committed: string; provisional: string }) => {
      const frame = { at: performance.now() - enter, committed, provisional }
      frames.push(frame)
      onFrame(frame)
    }
    const stop = chat.preview.subscribe(show)
    for (const { before, base, text } of keys) {
      await until(enter - before, signal)
      chat.replace(base, text)
    }
    await until(enter, signal)
    stop()
    const reply = chat.send()
    reply.text.subscribe(show)
    await reply.done
    return laneOf(frames)
  } finally {
    chat.close()
  }
}

function opened(
  subscribe: (listener: (state: { status: string; error?: Error }) => void) => () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    subscribe(({ status, error }) => {
      if (status === 'open') resolve()
      if (status === 'closed') reject(error ?? new Error('the race was stopped'))
    })
  })
}

function until(moment: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, moment - performance.now()))
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}

async function follow(events: AsyncIterable<ReplyEvent>, onFrame: (frame: Frame) => void): Promise<Lane> {
  const enter = performance.now()
  const text = new RevisableText()
  const frames: Frame[] = []
  for await (const event of events) {
    text.apply(event)
    const frame = { at: performance.now() - enter, ...text.value }
    frames.push(frame)
    onFrame(frame)
  }
  return laneOf(frames)
}

function laneOf(frames: Frame[]): Lane {
  const final = frames.at(-1)?.committed ?? ''
  const word = /^\s*\S+/.exec(final)?.[0] ?? final
  const shows = (frame: Frame) => frame.committed + frame.provisional
  let stable = frames.at(-1)?.at ?? 0
  for (const frame of [...frames].reverse()) {
    const shown = shows(frame)
    if (shown === '' || !(word.startsWith(shown) || shown.startsWith(word))) break
    stable = frame.at
  }
  return {
    frames,
    first: frames.find((frame) => shows(frame) !== '')?.at ?? 0,
    stable,
    committed: frames.find(({ committed }) => committed !== '')?.at ?? 0,
    done: frames.at(-1)?.at ?? 0,
  }
}

/** The frame that a lane shows at a moment. */
export function frameAt({ frames }: Lane, at: number): Frame | undefined {
  return frames.findLast((frame) => frame.at <= at)
}
