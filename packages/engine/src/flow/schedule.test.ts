import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Limits, schedule } from './schedule.ts'
import type { Sequence } from './sequence.ts'

const limits: Limits = { batch: 100, mixedPrompt: 10 }

interface State {
  order?: number
  kind?: Sequence['kind']
  parent?: Sequence
  prompt: number
  /** Prompt, committed reply and tail together; default: the prompt. */
  tokens?: number
  committed?: number
  computed: number[]
  limit?: number
  exits?: boolean
  open?: boolean
  background?: boolean
}

let orders = 0

/** A sequence in some state. */
function sequence({ prompt, tokens = prompt, committed = prompt, computed, ...rest }: State): Sequence {
  const order = rest.order ?? orders++
  return {
    slot: order,
    order,
    kind: 'reply',
    prompt,
    tokens: new Array<number>(tokens).fill(1),
    committed,
    computed,
    limit: Number.POSITIVE_INFINITY,
    exits: false,
    open: false,
    background: false,
    ...rest,
  }
}

/** The step as text: `stage: seq[from..to)+outputs ...`. */
function next(sequences: Sequence[], given: Limits = limits): string | undefined {
  const step = schedule(sequences, given)
  if (step === undefined) return undefined
  const rows = step.rows.map(({ sequence, from, to, output }) => {
    return `${sequences.indexOf(sequence)}[${from}..${to})${to > output ? `+${to - output}` : ''}`
  })
  return `${step.stage}: ${rows.join(' ')}`
}

test('nothing to run, no step', () => {
  assert.equal(next([]), undefined)
  assert.equal(next([sequence({ prompt: 4, computed: [4, 4] })]), undefined)
})

test('a prompt goes up stage by stage, and only its last row in the last stage has output', () => {
  assert.equal(next([sequence({ prompt: 4, computed: [0, 0] })]), '0: 0[0..4)')
  assert.equal(next([sequence({ prompt: 4, computed: [4, 0] })]), '1: 0[0..4)+1')
  assert.equal(next([sequence({ prompt: 4, computed: [0] })]), '0: 0[0..4)+1')
})

test('a prompt longer than a batch runs in pieces, the last one with output', () => {
  assert.equal(next([sequence({ prompt: 150, computed: [0] })]), '0: 0[0..100)')
  assert.equal(next([sequence({ prompt: 150, computed: [100] })]), '0: 0[100..150)+1')
})

test('the lowest stage with work runs first, so that exits speak early', () => {
  assert.equal(next([sequence({ prompt: 4, tokens: 5, computed: [4, 0] })]), '0: 0[4..5)')
})

test('every row that decides a token that is not committed has output', () => {
  assert.equal(next([sequence({ prompt: 4, tokens: 7, computed: [0] })]), '0: 0[0..7)+4')
  assert.equal(next([sequence({ prompt: 4, tokens: 8, committed: 6, computed: [5] })]), '0: 0[5..8)+3')
})

test('drafts ride on the last rows of the prompt', () => {
  assert.equal(next([sequence({ prompt: 4, tokens: 6, computed: [6, 0] })]), '1: 0[0..6)+3')
})

test('replies come before prompts, and prompts of the same stage ride along up to their bound', () => {
  const prompt = sequence({ prompt: 50, computed: [0] })
  const reply = sequence({ prompt: 4, tokens: 5, committed: 5, computed: [4] })
  assert.equal(next([prompt, reply]), '0: 1[4..5)+1 0[0..10)')
})

test('the bound of prompt rows beside a reply holds for all prompts together', () => {
  const reply = sequence({ order: 0, prompt: 4, tokens: 5, committed: 5, computed: [4] })
  const short = sequence({ order: 1, prompt: 6, computed: [0] })
  const long = sequence({ order: 2, prompt: 50, computed: [0] })
  assert.equal(next([reply, short, long]), '0: 0[4..5)+1 1[0..6)+1 2[0..4)')
})

test('prompts share a batch by arrival, whatever order they are listed in', () => {
  const late = sequence({ order: 9, prompt: 50, computed: [0] })
  const early = sequence({ order: 3, prompt: 80, computed: [0] })
  assert.equal(next([late, early]), '0: 1[0..80)+1 0[0..20)')
})

test('rows of another stage wait', () => {
  const reply = sequence({ prompt: 4, tokens: 5, committed: 5, computed: [5, 4] })
  const other = sequence({ prompt: 4, tokens: 5, committed: 5, computed: [5, 4] })
  const prompt = sequence({ prompt: 50, computed: [0, 0] })
  assert.equal(next([reply, other, prompt]), '1: 0[4..5)+1 1[4..5)+1')
})

test('a fork goes first, replies ride along, bulk rows do not', () => {
  const prompt = sequence({ prompt: 50, computed: [10] })
  const reply = sequence({ prompt: 4, tokens: 5, committed: 5, computed: [4] })
  const fork = sequence({ kind: 'fork', parent: prompt, prompt: 13, computed: [10] })
  assert.equal(next([prompt, reply, fork]), '0: 2[10..13)+1 1[4..5)+1')
})

test('a sequence stops at its limit, and what is over it waits', () => {
  const limited = { prompt: 50, limit: 12 }
  assert.equal(next([sequence({ ...limited, computed: [0, 0] })]), '0: 0[0..12)')
  assert.equal(next([sequence({ ...limited, computed: [12, 0] })]), '1: 0[0..12)')
  assert.equal(next([sequence({ ...limited, computed: [12, 12] })]), undefined)
})

test('an exit is asked after the last token only, where the sequence wants it and the stage has a head', () => {
  const exits = { ...limits, batch: 4, exitStage: 0 }
  const state = { prompt: 6, exits: true }
  assert.equal(next([sequence({ ...state, computed: [0, 0] })], exits), '0: 0[0..4)')
  assert.equal(next([sequence({ ...state, computed: [4, 0] })], exits), '0: 0[4..6)+1')
  assert.equal(next([sequence({ ...state, tokens: 8, computed: [6, 0] })], exits), '0: 0[6..8)+1')
  assert.equal(next([sequence({ ...state, exits: false, computed: [4, 0] })], exits), '0: 0[4..6)')
  assert.equal(next([sequence({ ...state, computed: [4, 0] })], { ...limits, batch: 4 }), '0: 0[4..6)')
  assert.equal(next([sequence({ ...state, computed: [6, 4, 0] })], exits), '1: 0[4..6)')
})

test('the rows of a tail that is longer than the batch come in order', () => {
  const tail = sequence({ prompt: 4, tokens: 12, committed: 5, computed: [4] })
  assert.equal(next([tail], { ...limits, batch: 3 }), '0: 0[4..7)+3')
})

test('background work waits for everything else, and then runs alone in small steps', () => {
  const ahead = sequence({ order: 0, prompt: 50, computed: [0], background: true })
  const prompt = sequence({ order: 1, prompt: 20, computed: [0] })
  assert.equal(next([ahead, prompt]), '0: 1[0..20)+1')
  assert.equal(next([ahead]), '0: 0[0..10)')
  assert.equal(next([ahead], { ...limits, background: 30 }), '0: 0[0..30)')
})

test('a keystroke goes before a pasted document, whoever came first', () => {
  const text = { prompt: 0, committed: 0, open: true, background: true }
  const pasted = sequence({ ...text, order: 0, tokens: 90, computed: [0] })
  const typed = sequence({ ...text, order: 1, tokens: 22, computed: [20] })
  assert.equal(next([pasted, typed]), '0: 1[20..22) 0[0..8)')
})

test('a look of background work waits, too', () => {
  const ahead = sequence({ prompt: 50, computed: [10], background: true, limit: 10 })
  const fork = sequence({ kind: 'fork', parent: ahead, prompt: 13, computed: [10] })
  const reply = sequence({ prompt: 4, tokens: 5, committed: 5, computed: [4] })
  assert.equal(next([ahead, fork, reply]), '0: 2[4..5)+1')
  ahead.background = false
  assert.equal(next([ahead, fork, reply]), '0: 1[10..13)+1 2[4..5)+1')
})

test('no row of a text that is still being written has output', () => {
  const text = { prompt: 0, tokens: 6, committed: 0, open: true, background: true }
  assert.equal(next([sequence({ ...text, computed: [0] })]), '0: 0[0..6)')
  assert.equal(next([sequence({ ...text, exits: true, computed: [0, 0] })], { ...limits, exitStage: 0 }), '0: 0[0..6)')
})
