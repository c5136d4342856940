import assert from 'node:assert/strict'
import { available, inBackground, inPrompt, type Sequence, type Step } from '../src/core/sequences/sequence.ts'
import type { Run } from './schedule-run.ts'

// Where the replies' own steps nearly use their bound up, prompts get twice the time that those take.
const promptShare = 2
// Beside running replies prompts get so many rows, even if that breaks their bound.
const leastPromptRows = 8

/** What must hold for a step when it begins. */
export function checkStep(run: Run, step: Step): void {
  const { core, costs, plan } = run
  const { stage, rows } = step
  const { batch, stepMs, mixed = batch, tile = 1 } = plan.limits
  const leastRows = Math.max(leastPromptRows, tile)
  const counts = { all: 0, looks: 0, prompts: 0, batchPrompts: 0, replies: 0, ahead: 0, other: 0 }
  for (const { sequence, from, to, output, shared } of rows) {
    assert.ok(from < to && output >= from && output <= to, 'rows or output out of order')
    assert.ok(to <= sequence.tokens.length)
    if (stage > 0) assert.ok(to <= sequence.computed[stage - 1]!, 'the stage before has not computed these rows')
    if (sequence.isInput) assert.equal(output, to, 'a row of an open text has output')
    assert.equal(
      shared.length > 0,
      core.alternatives(sequence).some(({ forkPoint: at }) => from < at),
    )
    counts.all += to - from
    counts[kindOf(sequence, from)] += to - from
  }
  assert.equal(new Set(rows.map(({ sequence }) => sequence)).size, rows.length)
  const { all, looks, prompts, batchPrompts, replies, ahead, other } = counts
  assert.ok(all > 0 && all <= batch, `${all} rows in a step of at most ${batch}`)
  if (ahead === all) return
  const cost = costs.rows(stage, all)
  // Rides cost a tenth at most.
  const rides = (ms: number) => cost <= 1.1 * ms + 1e-9
  if (ahead > 0) assert.ok(rides(costs.rows(stage, all - ahead)), 'background work holds others up')
  // A batch job that is overdue may look, too.
  if (looks > 0) assert.ok(rides(costs.rows(stage, looks + other)), 'a look is held up')
  const bulk = prompts + batchPrompts
  if (looks > 0 || bulk <= leastRows) return
  if (replies > 0) assert.ok(all - other <= mixed, `a mixed step of ${all} rows`)
  // Either the replies can still be in time afterwards, or they are what the step is for.
  const least = costs.rows(stage, leastRows)
  const { slack, itlMs } = slackOf(run, plan.devices[stage]!)
  // A prompt that is alone on its device is not cut to keep steps short.
  const here = plan.devices.flatMap((device, other) => (device === plan.devices[stage] ? [other] : []))
  const wants = [...core.sequences].filter(
    (one) => !inBackground(one) && here.some((other) => available(one, other) > 0),
  )
  const alone = new Set(wants.map((one) => one.parent ?? one)).size <= 1
  const inTime = rides(Math.max(least, alone ? slack : Math.min(stepMs, slack)))
  const beside = rides(costs.rows(stage, all - bulk + leastRows))
  const batchOnly = prompts === 0 && rides(Math.max(costs.rows(stage, 1), Math.min(itlMs, stepMs)))
  assert.ok(inTime || beside || batchOnly, `a step of ${cost} ms, though replies can wait for ${slack}`)
}

/** What rows are for. Those of batch jobs may be as urgent as others, or come last. */
function kindOf(
  sequence: Sequence,
  from: number,
): 'looks' | 'prompts' | 'batchPrompts' | 'replies' | 'ahead' | 'other' {
  const late = sequence.tier.name === 'batch'
  if (inBackground(sequence)) return 'ahead'
  if (sequence.kind === 'reply' && inPrompt(sequence)) {
    if (from >= sequence.prefillLength) return 'other'
    return late ? 'batchPrompts' : 'prompts'
  }
  if (late || sequence.kind === 'alternative') return 'other'
  return sequence.kind === 'lookahead' && inPrompt(sequence) ? 'looks' : 'replies'
}

/** How long the running replies that wait for rows on a device can wait, and the strictest bound of all that run. */
function slackOf({ core, costs, now, plan, stages }: Run, device: number): { slack: number; itlMs: number } {
  let deadline = Number.POSITIVE_INFINITY
  let itlMs = Number.POSITIVE_INFINITY
  let patience = Number.POSITIVE_INFINITY
  let count = 0
  let all = 0
  for (const sequence of core.sequences) {
    const { kind, tier, committed, computed, lastOutputAt: spoke } = sequence
    if (kind !== 'reply' || inBackground(sequence) || inPrompt(sequence)) continue
    itlMs = Math.min(itlMs, tier.itlMs)
    const waits = computed.some(
      (rows, stage) => plan.devices[stage] === device && available(sequence, stage) > 0 && rows < committed,
    )
    if (!waits) continue
    all++
    if (tier.name === 'batch') continue
    count++
    patience = Math.min(patience, tier.itlMs)
    deadline = Math.min(deadline, spoke + tier.itlMs)
  }
  const ms = (replies: number) => {
    let sum = 0
    for (let stage = 0; replies > 0 && stage < stages; stage++) sum += costs.rows(stage, replies)
    return sum
  }
  const more = Math.max(0, (1 + promptShare) * ms(all) - patience)
  return { slack: deadline + more - now - ms(count), itlMs }
}

/** What must hold between steps: books, cells and caches agree, and nothing is anybody's by mistake. */
export function checkState(run: Run): void {
  const { core, device, plan, scheduler, stages, texts } = run
  const bySlot = new Map<number, Sequence>()
  for (const sequence of core.sequences) {
    assert.ok(!bySlot.has(sequence.slot), 'two sequences in one slot')
    bySlot.set(sequence.slot, sequence)
    const { tokens, committed, computed, parent } = sequence
    assert.ok(committed <= tokens.length)
    let most = tokens.length
    for (const rows of computed) {
      if (rows > most) assert.fail(`computed rises along the stages: ${computed} of ${tokens.length}`)
      most = rows
    }
    if (parent) assert.ok(core.has(parent), 'a look or branch outlives its parent')
    const request = run.requestOf(sequence)
    const salt = request
      ? request.cacheNamespace || `${run.requests.indexOf(request)}`
      : texts.of(sequence)?.cacheNamespace
    assert.notEqual(salt, undefined, 'a sequence that nobody owns')
    for (let stage = 0; stage < stages; stage++) device.claim(stage, sequence.slot, salt!)
  }
  const running = new Set(core.running.map(({ stage }) => stage))
  for (let stage = 0; stage < stages; stage++) {
    if (running.has(stage)) continue
    for (let slot = 0; slot < plan.slots; slot++) {
      const believed = bySlot.get(slot)?.computed[stage] ?? 0
      const rows = device.rows(stage, slot)
      const booked = stage === 0 ? core.cells.rows(slot) : rows
      if (rows !== believed || booked !== believed) {
        assert.fail(`stage ${stage} slot ${slot} holds ${rows} rows, ${booked} are booked, ${believed} believed in`)
      }
    }
    if (stage === 0) assert.equal(core.cells.used, device.used(0), 'the ledger and the cache disagree')
  }
  if (running.size === 0) assert.equal(core.freeSlots + bySlot.size, plan.slots, 'a slot is lost')
  assert.ok(scheduler.running.size <= plan.parallel, 'too many requests run')
  let bytes = 0
  for (const kept of scheduler.prefixes.kept) bytes += kept.bytes
  assert.equal(scheduler.prefixes.bytes, bytes)
  assert.ok(bytes <= plan.keptBytes, 'too much is kept')
  for (const { plan: arrival, expected, prompt, said, sequence, resume, over } of run.requests) {
    const committed = sequence?.tokens.slice(0, sequence.committed) ?? resume
    if (over !== 'no' || committed === undefined) continue
    assert.equal(committed.length, prompt.length + said.length)
    for (const [i, token] of committed.entries()) {
      if (token !== (prompt[i] ?? said[i - prompt.length])) assert.fail('committed text was withdrawn')
      if (token !== expected[i] && arrival.confident === 0) assert.fail('committed text is wrong')
    }
  }
}
