import { random } from '../../engine/bench/numbers.ts'

/** One thing that a writer does. Offsets are those of the text that the steps before lead to, if nothing was accepted. */
export type Step =
  | { readonly kind: 'type'; readonly text: string; readonly pauseMs: number }
  /** Takes back the last characters, and will type them again. */
  | { readonly kind: 'delete'; readonly count: number; readonly pauseMs: number }
  /** Looks at another place and comes back. */
  | { readonly kind: 'jump'; readonly to: number; readonly pauseMs: number }

/** Somebody writes a part of a file anew. */
export interface EditSession {
  readonly path: string
  readonly before: string
  /** What is written. */
  readonly target: string
  readonly after: string
  readonly steps: readonly Step[]
}

const regionLines = 8

/**
 * A session that is the same for the same seed: a part of the file is missing and is typed, with the pauses of a fluent
 * writer (about 70 words a minute, longer at the ends of lines), typing errors, and looks at other places.
 */
export function editSession(path: string, text: string, seed: number): EditSession | undefined {
  const next = random(seed)
  const lines = text.split('\n')
  if (lines.length < 3 * regionLines) return undefined
  const first = Math.floor(next() * (lines.length - 2 * regionLines))
  const before = `${lines.slice(0, first).join('\n')}\n`
  const target = lines.slice(first, first + regionLines).join('\n')
  const after = `\n${lines.slice(first + regionLines).join('\n')}`
  const steps: Step[] = []
  // Lognormal: the median is that of fluent typing, the tail that of thinking.
  const pause = (median: number) =>
    median * Math.exp(0.4 * Math.sqrt(-2 * Math.log(next() + 1e-9)) * Math.cos(6.283 * next()))
  for (let at = 0; at < target.length; ) {
    if (next() < 0.02 && at > 3) {
      const count = 1 + Math.floor(next() * 3)
      steps.push({ kind: 'delete', count, pauseMs: pause(200) })
      at -= count
    }
    if (next() < 0.005) steps.push({ kind: 'jump', to: Math.floor(next() * before.length), pauseMs: pause(600) })
    // An editor indents a new line itself.
    const indent = target[at] === '\n' ? /^\n[ \t]*/.exec(target.slice(at))![0] : target[at]!
    steps.push({ kind: 'type', text: indent, pauseMs: pause(indent[0] === '\n' ? 350 : 150) })
    at += indent.length
  }
  return { path, before, target, after, steps }
}
