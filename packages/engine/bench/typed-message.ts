import { setTimeout as sleep } from 'node:timers/promises'
import type { Engine, Timings } from '../src/index.ts'

export interface Outcome {
  readonly text: string
  readonly timings: Timings
}

/** Reads a reply to its end. */
export async function outcomeOf(events: ReturnType<Engine['generate']>): Promise<Outcome> {
  let text = ''
  for await (const event of events) {
    if (event.type === 'delta') text += event.text
    if (event.type === 'done') return { text, timings: event.timings }
  }
  throw new Error('the reply ended without `done`')
}

/** Milliseconds to the first committed text. */
export function committed({ timings }: Outcome): number {
  return timings.committedMs ?? Number.NaN
}

/** A message that is typed to its end, then Enter at once; milliseconds from Enter to the first text. */
export async function typed(engine: Engine, text: string): Promise<number> {
  let computed: (() => void) | undefined
  using session = engine.open({
    proposers: [],
    maxTokens: 8,
    temperature: 0,
    onProgress: (progress) => {
      // The last tokens of an open text may not be computed ahead.
      if (progress.computed >= progress.tokens - 4) computed?.()
    },
  })
  const last = 80
  const caughtUp = new Promise<void>((resolve) => {
    computed = resolve
  })
  session.append(text.slice(0, -last))
  await caughtUp
  // 30 keystrokes a second, kept on the whole.
  const begin = performance.now()
  for (const [i, letter] of [...text.slice(-last)].entries()) {
    const wait = begin + (i * 1000) / 30 - performance.now()
    if (wait > 1) await sleep(wait)
    session.append(letter)
  }
  session.commit()
  return committed(await outcomeOf(session.respond()))
}
