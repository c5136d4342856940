import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RuledState } from '../../../test/fixtures/constraints.ts'
import { emptyStats } from '../../api/stats.ts'
import { CostModel } from '../../core/cost/cost-model.ts'
import { SpeculationGain } from '../../core/cost/speculation-gain.ts'
import type { Executor } from '../../core/executor.ts'
import { fullAttention } from '../../core/kv/sequence-memory.ts'
import { TokenChooser } from '../../core/sampling/token-chooser.ts'
import { maskOf } from '../../core/sampling/token-mask.ts'
import { SequenceTable } from '../../core/sequences/sequence-table.ts'
import { Acceptances } from '../../proposers/acceptances.ts'
import { FirstWords } from '../../proposers/first-words.ts'
import { defaultSkimCalibration } from '../../proposers/skim-default.ts'
import { ActiveRequest } from '../active-request.ts'
import { Outbox } from '../outbox.ts'
import { promptPlan } from '../run-prompt.ts'
import { Alternatives } from './alternatives.ts'
import { Lookahead } from './lookahead.ts'

const vocabulary = {
  size: 10,
  bytesOf: (token: number) => Uint8Array.of(48 + token),
  isEndOfGeneration: () => false,
}

/** A request whose reply is known to begin with these tokens, and that begins now, with a part of its reply perhaps. */
function begin(
  opening: number[],
  options: { said?: number[]; maxTokens?: number; allowed?: (length: number) => number[] },
) {
  const { said = [], maxTokens = 10, allowed } = options
  const saved = () => ({ bytes: 1 })
  const caches = { remove() {}, share() {}, save: saved, restore() {}, saveCheckpoint: saved, restoreCheckpoint() {} }
  const table = new SequenceTable({ devices: [0], slots: 4, cells: 100, memory: fullAttention(true), caches })
  const stats = emptyStats()
  const prompt = [1, 1, 1]
  const rules = allowed && {
    allowed: (reply: readonly number[]) => maskOf(allowed(reply.length), 10),
    forced: () => [],
  }
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }
  const request = new ActiveRequest(
    {
      ...promptPlan(prompt),
      maxTokens,
      allowed: new Set(['opening']),
      chooser: new TokenChooser({ sampling, prompt, constraint: rules && new RuledState(rules) }),
      opening: {
        name: 'opening',
        propose: ({ committed, prompt }) => {
          const tokens = opening.slice(committed - prompt)
          return { source: 'opening', tokens, confidences: tokens.map(() => 0.99) }
        },
        learn() {},
      },
    },
    { table, stats, vocabulary, contextLength: 50, now: () => 0, outbox: new Outbox(), onSinkFault: assert.fail },
  )
  request.sequence = table.add([...prompt, ...said], { prompt: prompt.length })
  const parts = {
    executor: {} as Executor,
    table,
    gain: new SpeculationGain(1, new CostModel(), { separateCaches: false }),
    vocabulary,
    contextLength: 50,
    stats,
    acceptances: new Acceptances(),
    exit: undefined,
    firstWords: new FirstWords(defaultSkimCalibration),
    delayed: () => 1,
    guarded: (_: ActiveRequest, act: () => void) => act(),
  }
  new Lookahead(parts, new Alternatives(table, parts.gain)).began(request)
  return request.tail.guesses.map(({ token }) => token)
}

test('what is known of how replies begin stands at the end of the prompt', () => {
  assert.deepEqual(begin([2, 3, 4], {}), [2, 3, 4])
})

test('no more of it than the reply may have tokens, also where a part of it was said before its place was lost', () => {
  assert.deepEqual(begin([2, 3, 4], { maxTokens: 2 }), [2, 3])
  assert.deepEqual(begin([2, 3, 4, 5], { maxTokens: 3, said: [2] }), [3, 4])
})

test('only what the constraint allows behind what was said', () => {
  const allowed = (length: number) => (length < 2 ? [2, 3] : [7])
  assert.deepEqual(begin([2, 3, 4], { allowed }), [2, 3])
  assert.deepEqual(begin([2, 3, 7, 4], { allowed, said: [2] }), [3, 7])
})
