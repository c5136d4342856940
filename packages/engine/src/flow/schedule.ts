import { available, inBackground, inPrompt, type Rows, runnableStage, type Sequence, type Step } from './sequence.ts'

export interface Limits {
  /** Most rows of one step. */
  batch: number
  /** Most prompt rows of a step that also carries rows of running replies: bounds their wait. */
  mixedPrompt: number
  /** Most rows of a step of background work: what new work has to wait for at worst. Default: `mixedPrompt`. */
  background?: number
  /** Stages whose last row asks for a guess (they have an exit head). */
  exitStage?: number
}

/**
 * Which rows run next on an idle device. Pure: the same state gives the same step.
 *
 * Order: forks (a guess that comes late is worth nothing), then rows of running replies, then prompts by arrival. The
 * most urgent sequence chooses the stage; everything else that waits for this stage rides along as far as the row budget
 * goes, but bulk prompt rows never ride with a fork. Background work runs when nothing else can, and alone; there the
 * few rows of a keystroke go before the many of a pasted document.
 */
export function schedule(sequences: Iterable<Sequence>, limits: Limits): Step | undefined {
  const waiting: { sequence: Sequence; stage: number; urgency: number; size: number }[] = []
  for (const sequence of sequences) {
    const stage = runnableStage(sequence)
    if (stage === undefined) continue
    const level = urgency(sequence, stage)
    waiting.push({ sequence, stage, urgency: level, size: level === background ? available(sequence, stage) : 0 })
  }
  waiting.sort((a, b) => a.urgency - b.urgency || a.size - b.size || a.sequence.order - b.sequence.order)
  const first = waiting[0]
  if (first === undefined) return undefined

  const rows: Rows[] = []
  let budget = first.urgency === background ? (limits.background ?? limits.mixedPrompt) : limits.batch
  let promptBudget = first.urgency === 0 ? 0 : first.urgency === 1 ? limits.mixedPrompt : limits.batch
  for (const { sequence, stage, urgency } of waiting) {
    if (stage !== first.stage || (urgency === background && first.urgency !== background)) continue
    let count = Math.min(available(sequence, stage), budget)
    if (urgency === 2) {
      count = Math.min(count, promptBudget)
      promptBudget -= count
    }
    if (count === 0) continue
    budget -= count
    const from = sequence.computed[stage]!
    rows.push({ sequence, from, to: from + count, output: firstOutput(sequence, stage, from, from + count, limits) })
  }
  return { stage: first.stage, rows }
}

const background = 3

/** 0 for forks, 1 for rows of a running reply, 2 for prompt rows, 3 for background work. */
function urgency(sequence: Sequence, stage: number): number {
  if (inBackground(sequence)) return background
  if (sequence.kind === 'fork') return 0
  return inPrompt(sequence) && sequence.computed[stage]! < sequence.prompt ? 2 : 1
}

/**
 * The last stage decides every token that is not committed: rows from committed - 1 on have output. An exit head guesses
 * only after the last token.
 */
function firstOutput(sequence: Sequence, stage: number, from: number, to: number, limits: Limits): number {
  if (sequence.open) return to
  if (stage === sequence.computed.length - 1) return Math.min(to, Math.max(from, sequence.committed - 1))
  const atEnd = to === sequence.tokens.length && to >= sequence.committed
  return stage === limits.exitStage && sequence.exits && atEnd ? to - 1 : to
}
