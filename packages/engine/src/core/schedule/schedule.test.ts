import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { replay } from '../../../test/replay.ts'
import { type Tier, tiers } from '../../api/tiers.ts'
import type { Costs } from '../cost/costs.ts'
import { microbatches } from '../cost/microbatches.ts'
import type { Rows, Sequence, Step } from '../sequences/sequence.ts'
import { type Limits, schedule } from './schedule.ts'

const limits: Limits = { batch: 100, stepMs: 1000 }

/** Milliseconds of a step: `fixed`, and `row` for every row. */
function costsOf(fixed: number, row: number): Costs {
  return {
    rows: (_stage, rows) => fixed + row * rows,
    within: (_stage, ms) => Math.max(1, Math.floor((ms - fixed) / row + 1e-9)),
  }
}

/** Every row costs a millisecond, as where compute is what a step waits for. */
const linear = costsOf(0, 1)
/** Rows cost nearly nothing, as where weights are what a step waits for. */
const flat = costsOf(10, 0.001)

interface State extends Partial<Omit<Sequence, 'tokens'>> {
  prompt: number
  /** Prompt, committed reply and tail together; default: the prompt. */
  tokens?: number
  computed: number[]
}

let orders = 0

/** A sequence in some state. */
function sequence({ prompt, tokens = prompt, ...rest }: State): Sequence {
  const order = rest.order ?? orders++
  return {
    slot: order,
    order,
    kind: 'reply',
    forkPoint: 0,
    prompt,
    prefillLength: prompt,
    tokens: new Array<number>(tokens).fill(1),
    committed: prompt,
    pausedAt: Number.POSITIVE_INFINITY,
    checkpoints: [],
    beforeTail: undefined,
    checkpointStops: [],
    floor: 0,
    rewindsTo: Number.POSITIVE_INFINITY,
    rewound: false,
    wantsExit: false,
    isInput: false,
    scoresFrom: Number.POSITIVE_INFINITY,
    background: false,
    tier: tiers.chat,
    arrival: 0,
    lastOutputAt: 0,
    ...rest,
  }
}

/** A reply that waits for its next token; its last one came at 0, and the next has to come within `itlMs`. */
function reply(itlMs = 150, rest: Partial<State> = {}): Sequence {
  return sequence({ prompt: 4, tokens: 5, committed: 5, computed: [4], tier: { ...tiers.chat, itlMs }, ...rest })
}

interface Options {
  now?: number
  limits?: Partial<Limits>
  costs?: Costs
  stages?: number[]
}

function stepOf(sequences: Sequence[], options: Options = {}): Step | undefined {
  const { now = 0, costs = linear } = options
  const stages = options.stages ?? Array.from({ length: sequences[0]?.computed.length ?? 0 }, (_, stage) => stage)
  return schedule(sequences, { stages, limits: { ...limits, ...options.limits }, costs, now })
}

/** The step as text, in the order in which the sequences are given: `stage: seq[from..to)+outputs ...`. */
function next(sequences: Sequence[], options: Options = {}): string | undefined {
  const step = stepOf(sequences, options)
  if (step === undefined) return undefined
  const index = ({ sequence }: Rows) => sequences.indexOf(sequence)
  const sorted = [...step.rows].sort((a, b) => index(a) - index(b))
  const rows = sorted.map(({ sequence, from, to, output }) => {
    return `${sequences.indexOf(sequence)}[${from}..${to})${to > output ? `+${to - output}` : ''}`
  })
  return `${step.stage}: ${rows.join(' ')}`
}

// --- rows of one sequence -------------------------------------------------------------------------------------------

test('nothing to run, no step', () => {
  assert.equal(next([]), undefined)
  assert.equal(next([sequence({ prompt: 4, computed: [4, 4] })]), undefined)
})

test('a prompt goes up stage by stage, and only its last row in the last stage has output', () => {
  assert.equal(next([sequence({ prompt: 4, computed: [0, 0] })]), '0: 0[0..4)')
  assert.equal(next([sequence({ prompt: 4, computed: [4, 0] })]), '1: 0[0..4)+1')
  assert.equal(next([sequence({ prompt: 4, computed: [0] })]), '0: 0[0..4)+1')
})

test('a prompt longer than a step runs in pieces, the last one with output', () => {
  assert.equal(next([sequence({ prompt: 150, computed: [0] })]), '0: 0[0..100)')
  assert.equal(next([sequence({ prompt: 150, computed: [100] })]), '0: 0[100..150)+1')
  const lone = sequence({ prompt: 150, computed: [0] })
  assert.equal(next([lone], { limits: { stepMs: 30 } }), '0: 0[0..100)', 'nobody else would wait for a shorter one')
  const other = sequence({ prompt: 150, computed: [0], arrival: 5 })
  assert.match(next([lone, other], { limits: { stepMs: 30 } }) ?? '', /0: 0\[0\.\.30\)/)
})

test('where each sequence has a cache of its own, nothing rides along with a prompt', () => {
  const reply = sequence({ prompt: 4, tokens: 5, committed: 5, computed: [4] })
  const prompt = sequence({ prompt: 60, computed: [0] })
  const free = { rows: () => 1, within: () => 1000 }
  assert.equal(next([reply, prompt], { costs: free }), '0: 0[4..5)+1 1[0..60)+1')
  assert.equal(next([reply, prompt], { costs: free, limits: { separateCaches: true } }), '0: 1[0..60)+1')
})

test('a prompt leaves the replies the time of all passes that they take', () => {
  const prompt = sequence({ prompt: 60, computed: [0] })
  const waiting = (slots: number[]) => [prompt, ...slots.map((slot) => reply(50, { slot }))]
  const options = { costs: costsOf(5, 1), limits: { separateCaches: true } }
  // Replies of neighbouring slots take one pass of 7 ms, others two of 6.
  assert.equal(next(waiting([4, 5]), options), '0: 0[0..38)')
  assert.equal(next(waiting([4, 6]), options), '0: 0[0..33)')
})

test('a tile of a prompt stays whole between replies in neighbouring slots', () => {
  const prompt = sequence({ prompt: 80, computed: [0], slot: 6 })
  const sequences = [
    reply(10, { slot: 5 }),
    prompt,
    reply(10, { slot: 8 }),
    reply(10, { slot: 4 }),
    reply(10, { slot: 7 }),
  ]
  const { rows } = stepOf(sequences, { limits: { separateCaches: true, tile: 64 } })!
  const passes = microbatches(rows.map(({ slot, from, to }) => ({ slot, rows: to - from })))
  assert.deepEqual(
    rows.map(({ slot }) => slot),
    [7, 8, 6, 4, 5],
  )
  assert.deepEqual(
    passes.map(({ rows }) => rows),
    [2, 64, 2],
  )
})

test('guesses behind a prompt wait for the next step where they would need another tile of attention', () => {
  const guessed = (prompt: number) => [sequence({ prompt, tokens: prompt + 3, computed: [0] })]
  assert.equal(next(guessed(60), { limits: { tile: 16 } }), '0: 0[0..63)+4')
  assert.equal(next(guessed(64), { limits: { tile: 16 } }), '0: 0[0..64)+1')
  assert.equal(next(guessed(63), { limits: { tile: 16 } }), '0: 0[0..64)+2')
  assert.equal(next(guessed(64)), '0: 0[0..67)+4')
  const read = [sequence({ prompt: 64, tokens: 68, committed: 65, computed: [64] })]
  assert.equal(next(read, { limits: { tile: 16 } }), '0: 0[64..68)+4')
})

test('a device runs its own stages only', () => {
  const prompt = sequence({ prompt: 4, computed: [4, 0] })
  assert.equal(next([prompt], { stages: [0] }), undefined)
  assert.equal(next([prompt], { stages: [1] }), '1: 0[0..4)+1')
})

test('what is guessed after a prompt goes down before the prompt goes up, so that exits speak early', () => {
  assert.equal(next([sequence({ prompt: 4, tokens: 5, computed: [4, 0] })]), '0: 0[4..5)')
})

test('every row that decides a token that is not committed has output', () => {
  assert.equal(next([sequence({ prompt: 4, tokens: 7, computed: [0] })]), '0: 0[0..7)+4')
  assert.equal(next([sequence({ prompt: 4, tokens: 8, committed: 6, computed: [5] })]), '0: 0[5..8)+3')
})

test('drafts ride on the last rows of the prompt', () => {
  assert.equal(next([sequence({ prompt: 4, tokens: 6, computed: [6, 0] })]), '1: 0[0..6)+3')
})

test('a sequence stops at its limit, and what is over it waits', () => {
  const limited = { prompt: 50, pausedAt: 12 }
  assert.equal(next([sequence({ ...limited, computed: [0, 0] })]), '0: 0[0..12)')
  assert.equal(next([sequence({ ...limited, computed: [12, 0] })]), '1: 0[0..12)')
  assert.equal(next([sequence({ ...limited, computed: [12, 12] })]), undefined)
})

test('rows of a prompt that is scored have output, in the last stage, and no more of them than may have some', () => {
  const scored = { prompt: 50, scoresFrom: 0 }
  assert.equal(next([sequence({ ...scored, computed: [0] })]), '0: 0[0..50)+50')
  assert.equal(next([sequence({ ...scored, computed: [0, 0] })]), '0: 0[0..50)')
  const limits = { outputs: 20 }
  assert.equal(next([sequence({ ...scored, computed: [0, 0] })], { limits }), '0: 0[0..50)')
  assert.equal(next([sequence({ ...scored, computed: [0] })], { limits }), '0: 0[0..20)+20')
  assert.equal(next([sequence({ ...scored, computed: [50, 20] })], { limits }), '1: 0[20..40)+20')
  assert.equal(next([sequence({ ...scored, computed: [0] })], { limits: { outputs: 20, tile: 8 } }), '0: 0[0..16)+16')
  assert.equal(next([sequence({ ...scored, scoresFrom: 10, computed: [0] })], { limits }), '0: 0[0..30)+20')
  // Others have output at their ends: they get what is left.
  const free = { costs: costsOf(10, 0.001), limits }
  const two = [sequence({ ...scored, computed: [0] }), sequence({ prompt: 60, computed: [0], arrival: 9 })]
  assert.equal(next(two, free), '0: 0[0..20)+20 1[0..59)')
  assert.equal(next([reply(), ...two], free), '0: 1[0..20)+20 2[0..59)')
})

test('an exit is asked after the last token only, where the sequence wants it and the stage has a head', () => {
  const exits = { limits: { batch: 4, exit: true } }
  const state = { prompt: 6, wantsExit: true }
  assert.equal(next([sequence({ ...state, computed: [0, 0] })], exits), '0: 0[0..4)')
  assert.equal(next([sequence({ ...state, computed: [4, 0] })], exits), '0: 0[4..6)+1')
  assert.equal(next([sequence({ ...state, tokens: 8, computed: [6, 0] })], exits), '0: 0[6..8)+1')
  assert.equal(next([sequence({ ...state, wantsExit: false, computed: [4, 0] })], exits), '0: 0[4..6)')
  assert.equal(next([sequence({ ...state, computed: [4, 0] })], { limits: { batch: 4 } }), '0: 0[4..6)')
  assert.equal(next([sequence({ ...state, computed: [6, 4, 0] })], exits), '1: 0[4..6)')
})

test('the rows of a tail that is longer than a step come in order', () => {
  const tail = sequence({ prompt: 4, tokens: 12, committed: 5, computed: [4] })
  assert.equal(next([tail], { limits: { batch: 3 } }), '0: 0[4..7)+3')
})

test('no row of a text that is still being written has output', () => {
  const text = { prompt: 0, tokens: 6, committed: 0, isInput: true, background: true }
  assert.equal(next([sequence({ ...text, computed: [0] })]), '0: 0[0..6)')
  assert.equal(
    next([sequence({ ...text, wantsExit: true, computed: [0, 0] })], { limits: { exit: true } }),
    '0: 0[0..6)',
  )
})

test('after a preemption the reply so far is computed like a prompt', () => {
  const back = sequence({ prompt: 4, prefillLength: 30, tokens: 30, committed: 30, computed: [0] })
  assert.equal(next([reply(20), back]), '0: 0[4..5)+1 1[0..19)')
})

// --- replies --------------------------------------------------------------------------------------------------------

test('replies of the same stage run together, whatever another stage has', () => {
  const state = { computed: [5, 4] }
  assert.equal(next([reply(150, state), reply(150, state)]), '1: 0[4..5)+1 1[4..5)+1')
  const below = reply(150, { computed: [4, 4] })
  assert.equal(next([reply(150, state), below]), '0: 1[4..5)')
})

test('without prompts drafts run with the replies, after all that is certain', () => {
  const drafts = reply(150, { tokens: 9 })
  assert.equal(next([drafts, reply()]), '0: 0[4..9)+5 1[4..5)+1')
  assert.equal(next([drafts, reply()], { limits: { batch: 4 } }), '0: 0[4..7)+3 1[4..5)+1')
})

test('rows of a step are sorted by slot', () => {
  const late = reply(150, { order: 3, slot: 9 })
  const early = reply(150, { order: 8, slot: 2 })
  assert.deepEqual(
    stepOf([late, early])!.rows.map(({ slot }) => slot),
    [2, 9],
  )
})

// --- prompts --------------------------------------------------------------------------------------------------------

test('where every row costs, a step is for one prompt: the one that is due first', () => {
  const late = sequence({ prompt: 80, computed: [0], arrival: 5 })
  const early = sequence({ prompt: 80, computed: [0] })
  assert.equal(next([late, early]), '0: 0[0..8) 1[0..80)+1')
})

test('where rows are free, everything that waits for the stage runs together', () => {
  const prompts = [sequence({ prompt: 40, computed: [0] }), sequence({ prompt: 30, computed: [0] })]
  assert.equal(
    next([...prompts, reply(), reply(150, { tokens: 7 })], { costs: flat }),
    '0: 0[0..40)+1 1[0..30)+1 2[4..5)+1 3[4..7)+3',
  )
})

test('a short prompt overtakes a long one until that one has waited for sixteen times its own work', () => {
  const long = sequence({ prompt: 90, computed: [0] })
  const short = (arrival: number) => sequence({ prompt: 10, computed: [0], arrival })
  assert.equal(next([long, short(1279)]), '0: 0[0..1) 1[0..10)+1')
  assert.equal(next([long, short(1281)]), '0: 0[0..90)+1 1[0..9)')
  const begun = sequence({ prompt: 90, computed: [85] })
  assert.equal(next([begun, short(9)]), '0: 0[85..90)+1')
})

test('a tier with a sooner target goes first', () => {
  const chat = sequence({ prompt: 20, computed: [0] })
  const npc = sequence({ prompt: 20, computed: [0], arrival: 400, tier: tiers.npc })
  assert.equal(next([chat, npc]), '0: 0[0..2) 1[0..20)+1')
})

test('a prompt that waits for a look is due by what is left up to there', () => {
  const looking = sequence({ prompt: 90, computed: [0], pausedAt: 10 })
  const other = sequence({ prompt: 20, computed: [0] })
  assert.equal(next([other, looking]), '0: 0[0..1) 1[0..10)')
})

test('a prompt has the step as long as replies can still be in time', () => {
  // The reply needs a millisecond, so 19 are left.
  assert.equal(next([sequence({ prompt: 90, computed: [0] }), reply(20)]), '0: 0[0..19) 1[4..5)+1')
  assert.equal(next([sequence({ prompt: 90, computed: [0] }), reply(20)], { now: 10 }), '0: 0[0..9)')
  assert.equal(
    next([sequence({ prompt: 90, computed: [0] }), reply(20, { lastOutputAt: 7 })], { now: 10 }),
    '0: 0[0..16) 1[4..5)+1',
  )
  assert.equal(next([sequence({ prompt: 90, computed: [0] }), reply(100), reply(20)]), '0: 0[0..18) 1[4..5)+1')
})

test('replies that cannot wait go, all of them, and prompt rows ride for a tenth of the time', () => {
  const prompt = sequence({ prompt: 90, computed: [0] })
  assert.equal(next([prompt, reply(20), reply(1000)], { now: 12 }), '0: 1[4..5)+1 2[4..5)+1')
  const replies = Array.from({ length: 20 }, () => reply(70))
  assert.match(next([prompt, ...replies], { now: 45 })!, /^0: 0\[0\.\.2\) 1\[4\.\.5\)\+1 .*20\[4\.\.5\)\+1$/)
})

test('a bound that the replies nearly use up themselves leaves prompts twice their time', () => {
  const prompt = sequence({ prompt: 90, computed: [0] })
  const replies = Array.from({ length: 20 }, () => reply(25))
  assert.match(next([prompt, ...replies], { now: 10 })!, /^0: 0\[0\.\.30\) /)
  assert.match(next([prompt, ...replies], { now: 35 })!, /^0: 0\[0\.\.2\) 1\[4\.\.5\)\+1 .*20\[4\.\.5\)\+1$/)
})

test('guesses are left out when replies go although prompts wait', () => {
  const prompt = sequence({ prompt: 90, computed: [0] })
  assert.equal(next([prompt, reply(20, { tokens: 9 })], { now: 12, costs: flat }), '0: 0[0..90)+1 1[4..5)+1')
})

test('where the bound is too strict for the machine, some rows of a prompt go in every step', () => {
  const prompt = sequence({ prompt: 90, computed: [0] })
  assert.equal(next([prompt, reply(5)], { now: 1 }), '0: 0[0..8) 1[4..5)+1')
  assert.equal(next([prompt, reply(5)], { now: 100 }), '0: 0[0..8) 1[4..5)+1')
})

test('only replies that wait for rows here count', () => {
  const elsewhere = reply(5, { computed: [5, 4] })
  const prompt = sequence({ prompt: 90, computed: [0, 0] })
  assert.equal(next([prompt, elsewhere], { now: 100, stages: [0] }), '0: 0[0..90)')
})

test('a job without a bound has its next token within its target, though prompts come without end', () => {
  const job = reply(Number.POSITIVE_INFINITY, { tier: tiers.batch, arrival: -70_000, lastOutputAt: -59_000 })
  const prompt = sequence({ prompt: 90, computed: [0] })
  assert.equal(next([prompt, job]), '0: 0[0..90)+1 1[4..5)+1')
  assert.equal(next([prompt, job], { now: 1000 }), '0: 1[4..5)+1')
})

test('the rows of prompts beside replies, and of replies beside prompts, are bounded together', () => {
  const prompt = () => sequence({ prompt: 40, computed: [0] })
  const mixed = { limits: { mixed: 20 }, costs: flat }
  assert.equal(next([prompt(), reply()], mixed), '0: 0[0..40)+1', 'no room for the reply')
  assert.equal(next([prompt(), reply()], { ...mixed, now: 145 }), '0: 0[0..19) 1[4..5)+1')
  assert.equal(next([prompt(), prompt()], mixed), '0: 0[0..40)+1 1[0..40)+1', 'no reply')
  assert.equal(next([prompt(), reply(5)], { limits: { mixed: 4 }, now: 100 }), '0: 0[0..8) 1[4..5)+1')
})

test('a prompt is cut into whole tiles where there is one, beside replies as well', () => {
  const tile = { limits: { tile: 16 } }
  assert.equal(next([sequence({ prompt: 150, computed: [0] })], tile), '0: 0[0..96)')
  assert.equal(next([sequence({ prompt: 150, computed: [96] })], tile), '0: 0[96..150)+1', 'its end is no part')
  assert.equal(next([sequence({ prompt: 90, computed: [0] }), reply(40)], tile), '0: 0[0..32) 1[4..5)+1')
  assert.equal(next([sequence({ prompt: 90, computed: [0] }), reply(5)], { ...tile, now: 9 }), '0: 0[0..16) 1[4..5)+1')
  assert.equal(next([sequence({ prompt: 90, computed: [0] })], { limits: { tile: 16, batch: 10 } }), '0: 0[0..10)')
})

// --- looks ----------------------------------------------------------------------------------------------------------

test('the first guess of a look goes first, everything else rides for a tenth of the time', () => {
  const prompt = sequence({ prompt: 50, computed: [10] })
  const fork = sequence({ kind: 'lookahead', parent: prompt, prompt: 40, computed: [10] })
  assert.equal(next([prompt, reply(), fork]), '0: 0[10..12) 1[4..5)+1 2[10..40)+1')
  assert.equal(next([prompt, reply(), fork], { costs: flat }), '0: 0[10..50)+1 1[4..5)+1 2[10..40)+1')
})

test('further tokens of a look are as urgent as those of a reply', () => {
  const parent = sequence({ prompt: 90, computed: [10] })
  const fork = sequence({ kind: 'lookahead', parent, prompt: 13, tokens: 14, committed: 14, computed: [13] })
  assert.equal(next([parent, fork]), '0: 0[10..90)+1 1[13..14)+1')
  assert.equal(next([sequence({ prompt: 9, computed: [0] }), fork]), '0: 0[0..9)+1')
})

// --- other continuations --------------------------------------------------------------------------------------------

function branchOf(parent: Sequence, tokens: number, rest: Partial<State> = {}): Sequence {
  const at = parent.committed
  const state = {
    prompt: at + tokens,
    committed: at,
    forkPoint: at,
    computed: parent.computed.map((rows) => Math.min(rows, at)),
  }
  return sequence({ kind: 'alternative', parent, ...state, ...rest })
}

test('a branch runs with the rows of its parent that it needs, which are its own as well', () => {
  const parent = sequence({ prompt: 6, tokens: 7, computed: [0] })
  const branch = branchOf(parent, 2)
  const step = stepOf([branch, parent], { costs: flat })!
  assert.deepEqual(
    step.rows.map(({ sequence, from, to, shared, output }) => ({ sequence, from, to, shared, output })),
    [
      { sequence: parent, from: 0, to: 7, shared: [{ slot: branch.slot, end: 6 }], output: 5 },
      { sequence: branch, from: 6, to: 8, shared: [], output: 6 },
    ],
  )
})

test('a branch never runs without the rows of its parent that it needs', () => {
  const parent = sequence({ prompt: 60, tokens: 61, computed: [0] })
  const branch = branchOf(parent, 2)
  assert.equal(next([parent, branch], { costs: flat, limits: { batch: 50 } }), '0: 0[0..50)')
  parent.pausedAt = 30
  assert.equal(next([parent, branch], { costs: flat }), '0: 0[0..30)')
  parent.computed[0] = 30
  branch.computed[0] = 30
  assert.equal(next([parent, branch], { costs: flat }), undefined)
})

test('a branch of background work or of a batch job comes after its parent', () => {
  for (const rest of [{ background: true }, { tier: tiers.batch }]) {
    const parent = sequence({ prompt: 20, tokens: 20, computed: [0], ...rest })
    const branch = branchOf(parent, 1, { tier: parent.tier })
    assert.equal(next([branch, parent], { costs: flat }), '0: 0[20..21)+1 1[0..20)+1')
    assert.equal(next([branch, parent], { costs: flat, limits: { batch: 10 } }), '0: 1[0..10)')
  }
})

test('rows before the branch that are already shared are not shared again', () => {
  const parent = sequence({ prompt: 6, tokens: 9, computed: [6] })
  const branch = branchOf(parent, 2)
  const step = stepOf([parent, branch])!
  assert.deepEqual(
    step.rows.map(({ shared, from, to }) => ({ shared, from, to })),
    [
      { shared: [], from: 6, to: 9 },
      { shared: [], from: 6, to: 8 },
    ],
  )
})

test('branches stand right after their parent, whatever their slots are', () => {
  const first = reply(150, { slot: 3 })
  const second = reply(150, { slot: 5 })
  const branch = branchOf(first, 1, { slot: 9 })
  assert.deepEqual(
    stepOf([second, branch, first])!.rows.map(({ slot }) => slot),
    [3, 9, 5],
  )
})

test('guesses of others wait for prompts, and ride where they cost nearly nothing', () => {
  const prompt = sequence({ prompt: 40, computed: [0] })
  const guesses = reply(1000, { tokens: 8 })
  const branch = branchOf(guesses, 2)
  assert.equal(next([prompt, guesses, branch]), '0: 0[0..40)+1 1[4..8)+4')
  assert.equal(next([prompt, guesses, branch], { costs: flat }), '0: 0[0..40)+1 1[4..8)+4 2[5..7)+2')
})

// --- batch jobs and background work ---------------------------------------------------------------------------------

test('a batch job has what others leave: nothing beside prompts, beside replies what their bounds leave', () => {
  const job = sequence({ prompt: 90, computed: [0], tier: tiers.batch })
  assert.equal(next([job, sequence({ prompt: 20, computed: [0] })]), '0: 0[0..2) 1[0..20)+1')
  assert.equal(next([job, reply(30)], { now: 1 }), '0: 0[0..29) 1[4..5)+1')
  assert.equal(next([job]), '0: 0[0..90)+1')
  assert.equal(next([job], { limits: { stepMs: 25 } }), '0: 0[0..25)')
})

test('a batch job that is due is a request like any other', () => {
  const job = sequence({ prompt: 90, computed: [0], tier: tiers.batch })
  const prompt = sequence({ prompt: 20, computed: [0], arrival: 60_900 })
  assert.equal(next([job, prompt], { now: 61_439 }), '0: 0[0..2) 1[0..20)+1')
  assert.equal(next([job, prompt], { now: 61_440 }), '0: 0[0..90)+1 1[0..9)')
})

test('a batch job does not ride with a look beyond a tenth of its time', () => {
  const parent = sequence({ prompt: 50, computed: [10], pausedAt: 10 })
  const fork = sequence({ kind: 'lookahead', parent, prompt: 30, computed: [10] })
  const job = sequence({ prompt: 90, computed: [0], tier: tiers.batch })
  assert.equal(next([parent, fork, job]), '0: 1[10..30)+1 2[0..2)')
})

test('background work waits for everything else, and then runs alone in small steps', () => {
  const ahead = sequence({ prompt: 50, computed: [0], background: true })
  assert.equal(next([ahead, sequence({ prompt: 8, computed: [0] })]), '0: 1[0..8)+1')
  assert.equal(next([ahead]), '0: 0[0..50)+1')
  assert.equal(next([ahead], { limits: { background: 30 } }), '0: 0[0..30)')
  assert.equal(next([ahead], { limits: { batch: 20, background: 30 } }), '0: 0[0..20)')
})

test('all background work together makes a step a tenth longer at most', () => {
  const replies = Array.from({ length: 20 }, () => reply())
  const ahead = Array.from({ length: 5 }, () => sequence({ prompt: 50, computed: [0], background: true }))
  const step = next([...replies, ...ahead])!
  assert.equal(step.split(' ').length, 1 + 20 + 1)
  assert.match(step, / 20\[0\.\.2\)$/)
})

test('a keystroke goes before a pasted document, whoever came first', () => {
  const text = { prompt: 0, committed: 0, isInput: true, background: true }
  const pasted = sequence({ ...text, tokens: 90, computed: [0] })
  const typed = sequence({ ...text, tokens: 22, computed: [20] })
  assert.equal(next([pasted, typed], { limits: { background: 10 } }), '0: 0[0..8) 1[20..22)')
})

test('background work goes as deep as it can before it goes up', () => {
  const ahead = sequence({ prompt: 50, computed: [30, 0], background: true })
  assert.equal(next([ahead]), '0: 0[30..50)')
})

test('a look of background work waits, too', () => {
  const ahead = sequence({ prompt: 50, computed: [10], background: true, pausedAt: 10 })
  const fork = sequence({ kind: 'lookahead', parent: ahead, prompt: 13, computed: [10] })
  assert.equal(next([ahead, fork, reply()]), '0: 2[4..5)+1')
  ahead.background = false
  assert.equal(next([ahead, fork, reply()]), '0: 1[10..13)+1')
})

// --- any state ------------------------------------------------------------------------------------------------------

const someTiers: Tier[] = [tiers.npc, { ...tiers.chat, itlMs: 20 }, tiers.chat, { ...tiers.batch, ttftMs: 100 }]

/** Any sequence, over this many stages, with looks and branches of it. */
const family = (stages: number): fc.Arbitrary<Sequence[]> =>
  fc
    .record({
      prompt: fc.integer({ min: 1, max: 60 }),
      reply: fc.nat(5),
      tail: fc.nat(5),
      steps: fc.array(fc.nat(20), { minLength: stages, maxLength: stages }),
      pausedAt: fc.constantFrom(0, 10, 40, Number.POSITIVE_INFINITY),
      background: fc.boolean(),
      tier: fc.constantFrom(...someTiers),
      arrival: fc.nat(100),
      lastOutputAt: fc.nat(100),
      branches: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
      fork: fc.boolean(),
    })
    .map(({ prompt, reply, tail, steps, branches, fork, ...rest }) => {
      const committed = prompt + reply
      let computed = committed + tail
      const computeds = steps.map((step) => {
        computed = Math.max(0, computed - step)
        return computed
      })
      const parent = sequence({ prompt, tokens: committed + tail, committed, computed: computeds, ...rest })
      const at = Math.min(computed, committed)
      const { tier, arrival } = rest
      const look = {
        kind: 'lookahead',
        parent,
        forkPoint: at,
        prompt: at + 3,
        computed: computeds.map(() => at),
        tier,
        arrival,
      } as const
      return [
        parent,
        ...branches.map((tokens) => branchOf(parent, tokens, { tier, arrival })),
        ...(fork ? [sequence(look)] : []),
      ]
    })

/** A step in which nothing depends on the order in which sequences were given. */
function comparable(step: Step | undefined): unknown {
  return step?.rows.map(({ shared, ...rows }) => ({ ...rows, shared: shared.toSorted((a, b) => a.slot - b.slot) }))
}

const anyState = fc.integer({ min: 1, max: 3 }).chain((stages) =>
  fc.record({
    sequences: fc.array(family(stages), { minLength: 1, maxLength: 5 }).map((families) => families.flat()),
    stages: fc.subarray(
      Array.from({ length: stages }, (_, stage) => stage),
      { minLength: 1 },
    ),
    now: fc.nat(200),
    batch: fc.constantFrom(1, 3, 10, 100),
    stepMs: fc.constantFrom(1, 20, 1000),
    mixed: fc.constantFrom(3, 20, 100),
    tile: fc.constantFrom(1, 8),
    outputs: fc.constantFrom(undefined, 1, 5, 20),
    costs: fc.constantFrom(linear, flat, costsOf(5, 0.5)),
  }),
)

test('any state: a step if and only if something can run, always the same, of rows that can run', () => {
  fc.assert(
    fc.property(anyState, ({ sequences, stages, now, batch, stepMs, mixed, tile, outputs, costs }) => {
      const options = { stages, now, costs, limits: { batch, stepMs, mixed, tile, ...(outputs && { outputs }) } }
      const step = stepOf(sequences, options)
      assert.deepEqual(comparable(stepOf([...sequences].reverse(), options)), comparable(step))
      const source = (sequence: Sequence, stage: number) =>
        stage === 0 ? Math.min(sequence.tokens.length, sequence.pausedAt) : sequence.computed[stage - 1]!
      if (step === undefined) {
        for (const one of sequences) {
          if (one.kind === 'alternative') continue
          for (const stage of stages) assert.ok(source(one, stage) <= one.computed[stage]!)
        }
        return
      }
      const { stage, rows } = step
      assert.ok(stages.includes(stage))
      const count = rows.reduce((sum, { from, to }) => sum + to - from, 0)
      assert.ok(count > 0 && count <= batch)
      const read = rows.filter(({ sequence }) => stage === sequence.computed.length - 1)
      assert.ok(read.reduce((sum, { output, to }) => sum + to - output, 0) <= (outputs ?? batch))
      const ends = new Map(sequences.map((one) => [one, one.computed[stage]!]))
      for (const { sequence, slot, shared, from, to, valid, output } of rows) {
        assert.equal(slot, sequence.slot)
        assert.equal(valid, to)
        assert.ok(from < to && to <= source(sequence, stage) && from <= output && output <= to)
        assert.equal(
          from,
          sequence.kind === 'alternative' ? Math.max(sequence.forkPoint, ends.get(sequence)!) : ends.get(sequence),
        )
        if (sequence.kind === 'alternative')
          assert.ok(ends.get(sequence.parent!)! >= sequence.forkPoint, 'without its parent')
        ends.set(sequence, to)
        const sharing = sequences.filter(
          ({ kind, parent, forkPoint: at }) => kind === 'alternative' && parent === sequence && from < at,
        )
        assert.deepEqual(new Set(shared.map((other) => other.slot)), new Set(sharing.map((other) => other.slot)))
        for (const { slot, end } of shared) {
          assert.equal(end, Math.min(to, sharing.find((other) => other.slot === slot)!.forkPoint))
        }
      }
    }),
    { numRuns: 2000, ...replay },
  )
})

// --- over time ------------------------------------------------------------------------------------------------------

/** Runs steps of one stage until nothing is left. Returns when each sequence's rows left it. */
function runOn(sequences: Sequence[], options: { costs: Costs; replies: number }): Map<Sequence, number[]> {
  const times = new Map<Sequence, number[]>(sequences.map((sequence) => [sequence, []]))
  let now = 0
  for (;;) {
    const here = sequences.filter(({ arrival }) => arrival <= now)
    const step = stepOf(here, { now, costs: options.costs, limits: { stepMs: 50 } })
    if (step === undefined && here.length === sequences.length) return times
    now += step
      ? options.costs.rows(
          0,
          step.rows.reduce((sum, { from, to }) => sum + to - from, 0),
        )
      : 1
    for (const { sequence, to } of step?.rows ?? []) {
      sequence.computed[0] = to
      sequence.lastOutputAt = now
      if (to < sequence.committed) continue
      times.get(sequence)!.push(now)
      // Its next token is decided.
      if (times.get(sequence)!.length > options.replies) continue
      sequence.tokens.push(1)
      ;(sequence as { committed: number }).committed++
    }
  }
}

const arrivals = fc.array(
  fc.record({
    prompt: fc.integer({ min: 1, max: 300 }),
    arrival: fc.nat(300),
    tier: fc.constantFrom(tiers.npc, tiers.code, tiers.chat),
  }),
  { minLength: 1, maxLength: 12 },
)

test('tokens of a reply come within its bound, save for what the bound leaves no time for', () => {
  fc.assert(
    fc.property(arrivals, fc.constantFrom(linear, flat, costsOf(5, 0.5)), (arrivals, costs) => {
      const sequences = arrivals.map(({ prompt, ...rest }) =>
        sequence({ prompt, computed: [0], lastOutputAt: rest.arrival, ...rest }),
      )
      const times = runOn(sequences, { costs, replies: 20 })
      for (const [{ tier }, at] of times) {
        assert.equal(at.length, 21)
        // Its own step, with the rows that ride; where the bound is too strict, the least rows of a prompt.
        const own = 1.1 * costs.rows(0, sequences.length + 8)
        for (const [i, ms] of at.entries()) {
          if (i > 0) assert.ok(ms - at[i - 1]! <= 1.1 * tier.itlMs + own, `${ms - at[i - 1]!} of ${tier.itlMs} ms`)
        }
      }
    }),
    { numRuns: 300, ...replay },
  )
})

test('under a load of prompts without end replies and batch jobs still go on', () => {
  const prompts = Array.from({ length: 300 }, (_, i) => sequence({ prompt: 100, computed: [0], arrival: i * 90 }))
  const chat = sequence({ prompt: 10, computed: [0], tier: { ...tiers.chat, itlMs: 120 } })
  const job = sequence({ prompt: 200, computed: [0], tier: { ...tiers.batch, ttftMs: 3000 } })
  const times = runOn([...prompts, chat, job], { costs: linear, replies: 0 })
  assert.ok(times.get(chat)![0]! < 200)
  assert.ok(times.get(job)![0]! < 7500, `${times.get(job)![0]}`)
})
