import { parseServerSentEvents } from '@incipit/client'
import { effect, signal } from '@preact/signals'
import { chosenModel, headers } from '../settings.ts'
import { withModel } from './models.ts'

// The records of `GET /v1/steps`: docs/server.md.

export interface Rows {
  request: number
  kind: 'input' | 'prompt' | 'reply' | 'guess' | 'lookahead' | 'alternative'
  from: number
  to: number
  valid: number
  text?: string
}

export interface Step {
  type: 'step'
  at: number
  ms: number
  stage: number
  device: number
  result: 'done' | 'aborted' | 'full' | 'failed'
  rows: Rows[]
}

export interface RequestChange {
  type: 'request'
  at: number
  request: number
  state: 'began' | 'preempted' | 'over'
  tier: string
  prompt_tokens: number
  cached_tokens: number
  early: boolean
  reason?: string
}

interface Guess {
  type: 'guess'
  at: number
  request: number
  source: string
  stabilities: number[]
  tokens?: string[]
}

export interface Token {
  type: 'token'
  at: number
  request: number
  guessed?: boolean
  source?: string
  stability?: number
  rejected?: number
  text?: string
  probability?: number
  others?: { text: string; probability: number }[]
}

export type Record =
  | Step
  | RequestChange
  | Guess
  | Token
  | { type: 'gap'; records: number }
  /** What follows is told by another engine, with a clock and numbers of its own. */
  | { type: 'restart' }

/** Whether the stream is read, and why not. */
export const watching = signal<'off' | 'on' | 'lost'>('off')
/** The likeliest tokens are told with each one, which costs the engine a look at all of them. */
export const wantsOthers = signal(false)

const listeners = new Set<(records: Record[]) => void>()
/** Records older than this are forgotten, in milliseconds. */
const memoryMs = 120_000
/** Everything that was told lately, for views that open later. */
export const recent: Record[] = []

/** @returns stops it */
export function onRecords(listener: (records: Record[]) => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function take(records: Record[]): void {
  const restart = records.findLastIndex(({ type }) => type === 'restart')
  if (restart >= 0) recent.length = 0
  recent.push(...records.slice(restart + 1))
  const last = recent.at(-1)
  if (last && 'at' in last) {
    const kept = recent.findIndex((record) => 'at' in record && record.at >= last.at - memoryMs)
    recent.splice(0, kept)
  }
  for (const listener of listeners) listener(records)
}

async function read(signal: AbortSignal, url: string, sent: HeadersInit): Promise<void> {
  const response = await fetch(url, { headers: sent, signal })
  if (!response.ok || !response.body) throw new Error(response.statusText)
  // Whoever comes back may be another one.
  if (watching.peek() === 'lost') take([{ type: 'restart' }])
  watching.value = 'on'
  for await (const data of parseServerSentEvents(response.body)) {
    const { records } = JSON.parse(data) as { records: Record[] }
    if (records.length > 0) take(records)
  }
}

const retryMs = 2000
/** The model whose steps were told last. */
let watched = chosenModel.peek()
const visible = signal(!document.hidden)
document.addEventListener('visibilitychange', () => {
  visible.value = !document.hidden
})

/** Reads the stream while the page is visible, and reads it again when it was lost. */
export function watchSteps(): void {
  effect(() => {
    if (!visible.value) {
      watching.value = 'off'
      return
    }
    if (chosenModel.value !== watched) take([{ type: 'restart' }])
    watched = chosenModel.value
    const url = withModel(wantsOthers.value ? '/v1/steps?others=3' : '/v1/steps')
    const sent = headers.value
    const controller = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const run = async () => {
      try {
        await read(controller.signal, url, sent)
      } catch {
        // Said by `watching`.
      }
      if (controller.signal.aborted) return
      watching.value = 'lost'
      timer = setTimeout(run, retryMs)
    }
    void run()
    return () => {
      controller.abort()
      clearTimeout(timer)
    }
  })
}
