import assert from 'node:assert/strict'
import { IncipitError } from '../src/api/errors.ts'
import { type Sequence, tailLength } from '../src/core/sequences/sequence.ts'
import { lettersOf } from './expected-reply.ts'
import { isAllowed, regularLanguage } from './regular-language.ts'
import type { RunState } from './run-state.ts'
import type { ScheduledRequest } from './scheduled-request.ts'
import { endToken } from './simulated-model.ts'

// Rows of tokens that exits committed, before the upper stages must follow.
const mostOwed = 8

/** What must hold between steps: books, cells and caches agree, and nothing is anybody's by mistake. */
export function checkState(run: RunState): void {
  const { loop, schedule, requests } = run
  checkCaches(run)
  assert.ok(loop.scheduler.running.size <= schedule.parallel, 'too many requests run')
  let bytes = 0
  for (const kept of loop.prefixes.kept) bytes += kept.bytes
  assert.equal(loop.prefixes.bytes, bytes)
  assert.ok(bytes <= schedule.savedBytes, 'too much is kept')
  for (const request of requests) {
    if (request.active) checkRequest(run, request)
    const text = request.input?.sequence
    assert.ok(!text || loop.table.has(text), 'a text believes in rows that are gone')
  }
}

function checkCaches(run: RunState): void {
  const { caches, schedule, stages } = run
  const { table } = run.loop
  const bySlot = new Map<number, Sequence>()
  for (const sequence of table.sequences) {
    assert.ok(!bySlot.has(sequence.slot), 'two sequences in one slot')
    bySlot.set(sequence.slot, sequence)
    checkSequence(run, sequence)
  }
  const running = new Set(table.running.map(({ stage }) => stage))
  for (let stage = 0; stage < stages; stage++) {
    if (running.has(stage)) continue
    for (let slot = 0; slot < schedule.slots; slot++) {
      const sequence = bySlot.get(slot)
      const believed = sequence?.computed[stage] ?? 0
      const rows = caches.rows(stage, slot)
      const booked = stage === 0 ? table.cells.rows(slot) : rows
      if (rows !== believed || booked !== believed) {
        assert.fail(`stage ${stage} slot ${slot} holds ${rows} rows, ${booked} are booked, ${believed} believed in`)
      }
      if (rows === 0) continue
      // A row depends on all before it.
      const expected = run.model.rowsAfter(sequence!.tokens, rows)[stage]
      if (caches.lastRow(stage, slot) !== expected)
        assert.fail(`stage ${stage} slot ${slot} holds rows of another text`)
    }
    if (stage === 0) assert.equal(table.cells.used, caches.used(0), 'the ledger and the cache disagree')
  }
  if (running.size === 0) assert.equal(table.freeSlots + bySlot.size, schedule.slots, 'a slot is lost')
}

function checkSequence(run: RunState, sequence: Sequence): void {
  const { table } = run.loop
  const { kind, tokens, committed, computed, parent, forkPoint } = sequence
  assert.ok(committed <= tokens.length && tokens.length <= run.contextLength, 'too many tokens')
  let most = tokens.length
  for (const rows of computed) {
    if (rows > most) assert.fail(`computed rises along the stages: ${computed} of ${tokens.length}`)
    most = rows
  }
  if (parent) {
    assert.ok(table.has(parent), 'a lookahead or alternative outlives its parent')
    if (kind === 'lookahead') assert.ok(!run.ownerOf(sequence)?.displaced, 'a lookahead after a place was lost')
    if (kind === 'lookahead') assert.equal(parent.committed, parent.prompt, 'a lookahead comes too late')
    else assert.equal(parent.committed, forkPoint, 'an alternative comes too late')
  }
  assert.ok(!run.lost.has(sequence), 'a text is still there after its step failed')
  const request = run.ownerOf(sequence)
  const input = run.requests.find(({ input }) => input?.sequence === sequence)
  const owner = request ? request.rowsOwner(run.requests.indexOf(request)) : input?.arrival.salt
  if (owner === undefined) assert.fail('a sequence that nobody owns')
  for (let stage = 0; stage < run.stages; stage++) run.caches.claim(stage, sequence.slot, owner)
}

function checkRequest(run: RunState, request: ScheduledRequest): void {
  const { client, expected, outcome, maxTokens } = request
  const { phase, sequence, resume, reply } = request.active!
  if (phase === 'over' && run.loop.table.has(sequence!)) {
    const rests = run.loop.prefixes.restingSlots.includes(sequence!.slot)
    assert.ok(rests || run.loop.hasLeaving, 'who is over has a place')
  }
  if (request.checked) {
    const { draftedN } = client.done?.timings ?? reply.timings
    assert.equal(reply.timings.draftedN, draftedN, 'somebody guesses for a request that is over')
    return
  }
  const before = request.said.length
  if (phase === 'waiting') assert.equal(sequence, undefined, 'a request that waits has a place')
  if (phase === 'running') assert.ok(run.loop.table.has(sequence!), 'a request that runs has no place')
  if (sequence) request.hears(sequence)
  else if (resume) request.hears({ tokens: resume, committed: resume.length })
  assert.equal(phase === 'over', outcome !== undefined, `a request is ${phase}, and its end: ${outcome}`)
  for (let length = before; length < request.said.length; length++) {
    assert.equal(expected.endOf(request.said.slice(0, length), Infinity), undefined, 'a reply goes on after its end')
  }
  const letters = lettersOf(request.said)
  assert.ok(letters.startsWith(client.text.committed), 'the reader has another text')
  if (phase === 'over') {
    checkOver(request)
    request.checked = true
    return
  }
  // Who wants no reply waits for its prompt.
  if (maxTokens > 0) assert.equal(expected.endOf(request.said, maxTokens), undefined, 'a reply goes on after its end')
  assert.equal(client.closed, undefined, 'a reply is closed before it is over')
  assert.ok(!request.mustEnd && !request.constraintThrew && !client.threw, 'a request goes on that must have failed')
  const held = letters.slice(client.text.committed.length)
  assert.ok(expected.mayHold(held), `the reader was not told of ${held}`)
  checkTail(run, request, held)
}

/** Sequence, tail, and what the reader sees agree. */
function checkTail({ lastDone, schedule }: RunState, request: ScheduledRequest, held: string): void {
  const { active, client, expected, maxTokens } = request
  const { constraint } = request.arrival
  const { sequence, tail, reply } = active!
  const { text } = client
  const { draftedN, acceptedN, rejectedN } = reply.timings
  assert.equal(draftedN, acceptedN + rejectedN + tail.stabilities.length, 'guesses are counted twice, or not at all')
  assert.equal(tail.source === undefined, tail.stabilities.length === 0)
  if (sequence === undefined) {
    assert.equal(text.provisional, '', 'the reader sees guesses of a request that waits')
    assert.equal(tail.source, undefined, 'a request that waits has guesses')
    return
  }
  const { guesses } = tail
  assert.equal(guesses.length, tailLength(sequence), 'the tail and the sequence disagree')
  if (constraint && guesses.length > 0) {
    const reply = sequence.tokens.slice(sequence.prompt)
    assert.ok(isAllowed(regularLanguage(constraint.language), reply), 'a guess breaks the constraint')
  }
  assert.ok(sequence.tokens.length <= sequence.prompt + maxTokens, 'a tail is longer than the reply can be')
  assert.ok(!guesses.slice(0, -1).some(({ token }) => token === endToken), 'a guess follows the end of the reply')
  const owed = sequence.committed - Math.max(sequence.prefillLength, sequence.computed.at(-1)!)
  // A state that a stopped step has spoilt goes back to its last checkpoint.
  assert.ok(
    owed <= mostOwed || schedule.memory === 'state' || schedule.memory === 'snapshots',
    `the upper stages owe ${owed} rows`,
  )
  // Drafts are shown when rows of theirs were read.
  if (text.provisional === '' && !lastDone?.rows.some((rows) => rows.sequence === sequence)) return
  assert.equal(
    text.provisional,
    reply.showsGuesses ? expected.shown(held, guesses) : '',
    'the reader sees other guesses',
  )
}

function checkOver(request: ScheduledRequest): void {
  const { client, outcome, said, learners, causes } = request
  const { sequence } = request.active!
  const complete = outcome === 'stop' || outcome === 'length' || outcome === 'context'
  for (const { finishedReplies } of learners) assert.deepEqual(finishedReplies, complete && sequence ? [said] : [])
  assert.equal(request.toldDropped, outcome === 'dropped' ? 1 : 0)
  if (outcome === 'dropped') {
    assert.equal(client.closed, undefined)
    return
  }
  assert.ok(client.closed, 'a request is over, and its reader was not told')
  const { error } = client.closed
  if (outcome === 'failed') {
    const known =
      causes.has(error) ||
      error === client.threw ||
      (error instanceof IncipitError && (causes.has(error.code) || causes.has(error.cause)))
    assert.ok(known, `a request failed for no reason of its own: ${error}`)
    return
  }
  assert.equal(client.done?.finishReason, outcome)
  checkDone(request, complete)
}

/** The last event tells what was said. */
function checkDone(request: ScheduledRequest, complete: boolean): void {
  const { client, outcome, maxTokens, arrival, expected, said, policy, scored } = request
  const { usage, timings } = client.done!
  assert.equal(usage.completionTokens, said.length)
  assert.equal(usage.promptTokens, arrival.prompt.length)
  assert.ok(usage.acceptedPredictionTokens + usage.rejectedPredictionTokens <= timings.draftedN)
  assert.ok(client.tokens <= said.length)
  if (arrival.logprobs !== undefined && policy !== 'confident') {
    assert.deepEqual(client.logprobs, said.slice(0, client.tokens), 'probabilities of other tokens are told')
  }
  if (scored === undefined) assert.equal(client.prompt.length, 0, 'a prompt is scored that nobody asked about')
  else
    assert.deepEqual(client.prompt, expected.scores(scored).slice(0, client.prompt.length), 'a prompt has other scores')
  if (!complete) return
  if (scored !== undefined && outcome !== 'context') {
    assert.equal(client.prompt.length, arrival.prompt.length, 'a reply ends before its prompt is scored')
  }
  assert.equal(expected.endOf(said, maxTokens), outcome)
  assert.equal(String(client.text), expected.textOf(said))
  const { constraint } = arrival
  if (constraint) assert.ok(isAllowed(regularLanguage(constraint.language), said), 'a reply breaks its constraint')
}

/** What is left when all are served is what is kept for others, and nothing at all when that goes. */
export function checkEnd(run: RunState): void {
  const { loop, requests, schedule, caches } = run
  const { table, prefixes, stats } = loop
  checkState(run)
  assert.equal(table.sequences.size, prefixes.restingSlots.length)
  prefixes.evictResting()
  checkState(run)
  assert.equal(table.sequences.size, 0)
  assert.equal(table.freeSlots, schedule.slots, 'a slot is lost')
  assert.equal(table.cells.used, 0, 'a cell is lost')
  for (const { tokens, states, cacheNamespace } of prefixes.kept) caches.checkSaved(states, tokens, cacheNamespace)
  prefixes.clear()
  assert.equal(prefixes.bytes, 0)
  for (const { plan, said } of requests) {
    assert.equal(prefixes.find(plan.cacheNamespace, [...plan.prompt, ...said]), undefined)
  }
  assert.equal(
    stats.generatedTokens,
    requests.reduce((sum, { said }) => sum + said.length, 0),
  )
  assert.equal(stats.drafted, stats.accepted + stats.rejected)
}
