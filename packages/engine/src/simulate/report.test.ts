import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plainMachine } from '../../test/fixtures/plain-machine.ts'
import { tiers } from '../api/tiers.ts'
import type { Outcome, ReplyRecord } from './outcome.ts'
import { isGood, percentiles, report } from './report.ts'

const reply = (changes: Partial<ReplyRecord> = {}): ReplyRecord => ({
  kind: 'chat',
  tier: tiers.chat,
  arrival: 1000,
  promptTokens: 80,
  cachedTokens: 20,
  replyTokens: 11,
  provisional: undefined,
  stable: 1400,
  committed: 1400,
  end: 2400,
  gaps: [100],
  ...changes,
})

describe('percentiles', () => {
  it('are of the nearest rank', () => {
    const numbers = Array.from({ length: 100 }, (_, i) => 100 - i)
    assert.deepEqual(percentiles(numbers), { p50: 50, p95: 95, p99: 99 })
    assert.deepEqual(percentiles([7]), { p50: 7, p95: 7, p99: 7 })
    assert.ok(Number.isNaN(percentiles([]).p50))
  })
})

describe('a good reply', () => {
  const cases: [string, Partial<ReplyRecord>, boolean][] = [
    ['in time and in pace', {}, true],
    ['whose first word comes late', { stable: 1501, committed: 1501 }, false],
    ['whose first word is stable in time', { stable: 1450, committed: 1600 }, true],
    ['whose tokens come slowly', { end: 1401 + 10 * tiers.chat.itlMs }, false],
    ['whose tokens come just in time', { end: 1400 + 10 * tiers.chat.itlMs }, true],
    ['of one token', { replyTokens: 1, end: 1400 }, true],
    ['of a batch job', { tier: tiers.batch, stable: 50_000, committed: 50_000, end: 90_000 }, true],
  ]
  for (const [name, changes, good] of cases) {
    it(`is ${good ? '' : 'not '}one ${name}`, () => assert.equal(isGood(reply(changes)), good))
  }
})

describe('a report', () => {
  const outcome: Outcome = {
    replies: [reply(), reply({ kind: 'rag', stable: 2000, committed: 3000, end: 4000, gaps: [] })],
    elapsedMs: 10_000,
    busyMs: [4000],
    steps: 10,
    rows: 200,
    kept: 150,
    waste: { drafts: 20, looks: 25, again: 5 },
    drafted: 30,
    accepted: 12,
    preemptions: 1,
  }
  const result = report(plainMachine, outcome)

  it('has rates, shares and rent', () => {
    assert.equal(result.repliesPerSecond, 0.2)
    assert.equal(result.replyTokensPerSecond, 2.2)
    assert.equal(result.promptTokensPerSecond, 16)
    assert.equal(result.reusedShare, 0.25)
    assert.deepEqual(result.utilisation, [0.4])
    assert.equal(result.rows.wastedShare, 0.25)
    assert.deepEqual(result.good, { share: 0.5, perSecond: 0.1 })
    // $3.60 an hour are a cent in ten seconds.
    assert.ok(Math.abs(result.dollarsPer1000.replies - 5) < 1e-9)
    assert.ok(Math.abs(result.dollarsPer1000.goodReplies - 10) < 1e-9)
  })

  it('tells committed, stable and provisional first words apart', () => {
    assert.equal(result.ttft.committed.p95, 2000)
    assert.equal(result.ttft.stable.p95, 1000)
    assert.equal(result.ttft.provisional.p95, 2000)
  })

  it('tells kinds apart', () => {
    assert.deepEqual(
      result.kinds.map(({ kind, replies, goodShare }) => [kind, replies, goodShare]),
      [
        ['chat', 1, 1],
        ['rag', 1, 0],
      ],
    )
  })
})
