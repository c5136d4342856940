import assert from 'node:assert/strict'
import { available, inBackground, inPrompt, type Sequence, type Step } from '../src/core/sequences/sequence.ts'
import type { RunState } from './run-state.ts'

// Where the replies' own steps nearly use their bound up, prompts get twice the time that those take.
const promptShare = 2
// Beside running replies prompts get so many rows, even if that breaks their bound.
const leastPromptRows = 8

/** What must hold for a step when it begins. */
export function checkStep(run: RunState, step: Step): void {
  const { loop, costs, schedule } = run
  const { table } = loop
  const { stage, rows } = step
  const { batch, stepMs, mixed = batch, tile = 1, outputs = batch } = schedule.limits
  const leastRows = Math.max(leastPromptRows, tile)
  const counts = { all: 0, lookaheads: 0, prompts: 0, batchPrompts: 0, replies: 0, ahead: 0, other: 0 }
  for (const { sequence, from, to, output, shared } of rows) {
    assert.ok(from < to && output >= from && output <= to, 'rows or output out of order')
    assert.ok(to <= sequence.tokens.length)
    if (stage > 0) assert.ok(to <= sequence.computed[stage - 1]!, 'the stage before has not computed these rows')
    if (sequence.isInput) assert.equal(output, to, 'a row of an open text has output')
    assert.equal(
      shared.length > 0,
      table.alternatives(sequence).some(({ forkPoint }) => from < forkPoint),
    )
    checkWanted(run, stage, sequence)
    counts.all += to - from
    counts[kindOf(sequence, from)] += to - from
  }
  assert.equal(new Set(rows.map(({ sequence }) => sequence)).size, rows.length)
  const { all, lookaheads, prompts, batchPrompts, replies, ahead, other } = counts
  assert.ok(all > 0 && all <= batch, `${all} rows in a step of at most ${batch}`)
  const read = rows.reduce((sum, { to, output }) => sum + to - output, 0)
  if (stage === run.stages - 1) assert.ok(read <= outputs, `${read} rows with output in a step of at most ${outputs}`)
  if (ahead === all) return
  const cost = costs.rows(stage, all)
  // Rides cost a tenth at most.
  const rides = (ms: number) => cost <= 1.1 * ms + 1e-9
  if (ahead > 0) assert.ok(rides(costs.rows(stage, all - ahead)), 'background work holds others up')
  // A batch job that is overdue may look ahead, too.
  if (lookaheads > 0) assert.ok(rides(costs.rows(stage, lookaheads + other)), 'a lookahead is held up')
  const bulk = prompts + batchPrompts
  if (lookaheads > 0 || bulk <= leastRows) return
  if (replies > 0) assert.ok(all - other <= mixed, `a mixed step of ${all} rows`)
  // Either the replies can still be in time afterwards, or they are what the step is for.
  const least = costs.rows(stage, leastRows)
  const { slack, itlMs } = slackOf(run, schedule.devices[stage]!)
  // A prompt that is alone on its device is not cut to keep steps short.
  const here = schedule.devices.flatMap((device, other) => (device === schedule.devices[stage] ? [other] : []))
  const wants = [...table.sequences].filter(
    (one) => !inBackground(one) && here.some((other) => available(one, other) > 0),
  )
  const alone = new Set(wants.map((one) => one.parent ?? one)).size <= 1
  const inTime = rides(Math.max(least, alone ? slack : Math.min(stepMs, slack)))
  const beside = rides(costs.rows(stage, all - bulk + leastRows))
  const batchOnly = prompts === 0 && rides(Math.max(costs.rows(stage, 1), Math.min(itlMs, stepMs)))
  assert.ok(inTime || beside || batchOnly, `a step of ${cost} ms, though replies can wait for ${slack}`)
}

/** Nobody computes what nobody wants: replies that are over, and those that wait until their text is final. */
function checkWanted(run: RunState, stage: number, sequence: Sequence): void {
  if (sequence.isInput) return
  const active = run.ownerOf(sequence)?.active
  assert.equal(active?.phase, 'running', 'a step for somebody who is not running')
  const { early, replyTokens } = active!
  if (early && stage === 0) assert.ok(replyTokens < early.budget, 'an early reply goes on over its budget')
}

/** What rows are for. Those of batch jobs may be as urgent as others, or come last. */
function kindOf(
  sequence: Sequence,
  from: number,
): 'lookaheads' | 'prompts' | 'batchPrompts' | 'replies' | 'ahead' | 'other' {
  const late = sequence.tier.name === 'batch'
  if (inBackground(sequence)) return 'ahead'
  if (sequence.kind === 'reply' && inPrompt(sequence)) {
    if (from >= sequence.prefillLength) return 'other'
    return late ? 'batchPrompts' : 'prompts'
  }
  if (late || sequence.kind === 'alternative') return 'other'
  return sequence.kind === 'lookahead' && inPrompt(sequence) ? 'lookaheads' : 'replies'
}

/** How long the running replies that wait for rows on a device can wait, and the strictest bound of all that run. */
function slackOf(run: RunState, device: number): { slack: number; itlMs: number } {
  const { loop, costs, now, schedule, stages } = run
  let deadline = Number.POSITIVE_INFINITY
  let itlMs = Number.POSITIVE_INFINITY
  let patience = Number.POSITIVE_INFINITY
  let count = 0
  let all = 0
  for (const sequence of loop.table.sequences) {
    const { kind, tier, committed, computed, lastOutputAt: spoke } = sequence
    if (kind !== 'reply' || inBackground(sequence) || inPrompt(sequence)) continue
    itlMs = Math.min(itlMs, tier.itlMs)
    const waits = computed.some(
      (rows, stage) => schedule.devices[stage] === device && available(sequence, stage) > 0 && rows < committed,
    )
    if (!waits) continue
    all++
    if (tier.name === 'batch') continue
    count++
    patience = Math.min(patience, tier.itlMs)
    deadline = Math.min(deadline, spoke + tier.itlMs)
  }
  const once = (replies: number) => (replies > 0 ? stages * costs.rows(0, replies) : 0)
  // In caches of their own all that have rows after their prompt may run one after the other.
  const longest = schedule.limits.separateCaches ? loop.table.sequences.size * once(1) : once(all)
  const more = Math.max(0, (1 + promptShare) * longest - patience)
  return { slack: deadline + more - now - once(count), itlMs }
}
