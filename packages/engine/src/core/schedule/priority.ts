import type { Costs } from '../cost/costs.ts'
import { available, firstRow, inBackground, inPrompt, type Sequence } from '../sequences/sequence.ts'

/** Urgency of rows, the most urgent first. */
export const priority = {
  /** The first guess of a look: one that comes late is worth nothing. */
  lookahead: 0,
  /** The next token of a running reply, and its drafts while nobody else waits for a prompt. */
  reply: 1,
  prompt: 2,
  /** Guesses are revocable: while prompts wait they get what these leave. */
  draft: 3,
  batch: 4,
  background: 5,
} as const

/** Part of a sequence's rows in one stage that has an urgency of its own. */
export interface WorkItem {
  readonly sequence: Sequence
  readonly stage: number
  readonly priority: (typeof priority)[keyof typeof priority]
  /** Guesses: of one level they come after what is certain. */
  readonly guess: boolean
  /** Order within a level: when its first token is due; for background work its size. */
  readonly due: number
  readonly rows: number
}

/** What could run now. */
export interface PendingWork {
  /** The most urgent first. */
  readonly items: readonly WorkItem[]
  /** Running replies that wait for rows here: how many, and when the first of them must have its next token, ms. */
  readonly replies: number
  readonly deadline: number
  /** Strictest bounds between two tokens, ms: of those replies, and of all that run. */
  readonly patience: number
  readonly itlMs: number
}

// A prompt is due later the longer it is: short ones overtake long ones until those have waited for as long as this many
// times their own work. Of the values tried in the simulator (2 to 16) the largest made short ones three times as fast at
// 60% load, and long ones no slower.
export const stretch = 16

/** Everything that could run in these stages. */
export function pendingWork(
  sequences: Iterable<Sequence>,
  { stages, costs, now }: { stages: readonly number[]; costs: Costs; now: number },
): PendingWork {
  const items: WorkItem[] = []
  const drafts: { sequence: Sequence; stage: number; due: number; rows: number }[] = []
  const prompts = new Set<Sequence>()
  const running = { replies: 0, deadline: Number.POSITIVE_INFINITY, patience: Number.POSITIVE_INFINITY }
  let itlMs = Number.POSITIVE_INFINITY
  for (const sequence of sequences) {
    const { kind, tier, prefillLength: prefill, committed, lastOutputAt: spoke } = sequence
    const behind = inBackground(sequence)
    // A lookahead or an alternative is as urgent as what it is for.
    const due = dueOf(sequence.parent ?? sequence, costs)
    const batched = tier.preemptible && due > now
    const replies = kind === 'reply' && !behind && !inPrompt(sequence)
    if (replies) itlMs = Math.min(itlMs, tier.itlMs)
    let waits = false
    for (const stage of stages) {
      const rows = available(sequence, stage)
      if (rows === 0 || !rootsCanRun(sequence, stage)) continue
      // A look's first token is the guess; its further ones only lengthen it.
      const urgent = kind === 'lookahead' && inPrompt(sequence)
      if (behind || batched || urgent) {
        const at = behind ? priority.background : batched ? priority.batch : priority.lookahead
        items.push({ sequence, stage, priority: at, guess: kind === 'alternative', due: behind ? rows : due, rows })
        // Work goes as deep as it can before it goes up, so that exits speak early.
        if (!urgent || behind || batched) break
        continue
      }
      const computed = firstRow(sequence, stage)
      if (computed < prefill && kind === 'reply') {
        // Drafts that stand at the prompt's end run with its last rows.
        items.push({ sequence, stage, priority: priority.prompt, guess: false, due, rows })
        prompts.add(sequence)
        continue
      }
      const certain = kind === 'alternative' ? 0 : Math.max(0, Math.min(rows, committed - computed))
      if (certain > 0) {
        waits = true
        items.push({ sequence, stage, priority: priority.reply, guess: false, due, rows: certain })
      }
      if (rows > certain) drafts.push({ sequence, stage, due, rows: rows - certain })
    }
    if (!replies || !waits) continue
    const patience = Number.isFinite(tier.itlMs) ? tier.itlMs : tier.ttftMs
    running.replies++
    running.deadline = Math.min(running.deadline, spoke + patience)
    running.patience = Math.min(running.patience, patience)
  }
  for (const { sequence, ...rest } of drafts) {
    const root = sequence.parent ?? sequence
    const others = prompts.size - (prompts.has(root) ? 1 : 0)
    if (others > 0 || (root !== sequence && prompts.has(root))) {
      // An alternative comes after the rows of its parent that it needs.
      items.push({ ...rest, sequence, priority: priority.draft, guess: true })
    } else if (prompts.has(root)) {
      // Its own prompt is above: what it guesses meanwhile is verified with the prompt's last rows.
      items.push({ ...rest, sequence, priority: priority.prompt, guess: false })
    } else items.push({ ...rest, sequence, priority: priority.reply, guess: true })
  }
  return { items: items.sort(byPriority), ...running, itlMs }
}

function byPriority(a: WorkItem, b: WorkItem): number {
  if (a.priority !== b.priority) return a.priority - b.priority
  const order = a.due - b.due || a.sequence.order - b.sequence.order
  const guess = Number(a.guess) - Number(b.guess)
  // The lower stage first: what it leaves is verified together. Of prompts only within one: others wait their turn.
  if (a.priority === priority.reply) return a.stage - b.stage || guess || order
  return guess || order || a.stage - b.stage
}

/** Whether the rows an alternative shares with its parent could be in a step now. */
function rootsCanRun({ kind, parent, forkPoint: at }: Sequence, stage: number): boolean {
  return kind !== 'alternative' || firstRow(parent!, stage) + available(parent!, stage) >= at
}

/**
 * When the first token of a sequence, or its next look, is due: its tier's target after its arrival, later the more work
 * is left.
 */
function dueOf(sequence: Sequence, costs: Costs): number {
  let ms = 0
  for (let stage = 0; stage < sequence.computed.length; stage++) {
    const left = Math.min(sequence.prefillLength, sequence.pausedAt) - sequence.computed[stage]!
    if (left > 0) ms += costs.rows(stage, left)
  }
  return sequence.arrival + sequence.tier.ttftMs + stretch * ms
}
