import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { closedLoop, openLoop, type Server } from '../bench/drive.ts'
import { loadFigures, msPerToken, ratiosOf } from '../bench/figures.ts'
import { arriving, mixedRequests, shortPrompt } from '../bench/load.ts'
import { quantile } from '../bench/numbers.ts'
import { lossyOf, survivalOf } from '../bench/scoring.ts'
import { commonPrefix } from '../src/core/sequences/sequence-table.ts'

const corpus = Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 49_157)

/** Answers each request after `ms`, one at a time, with one token and, `ms` later, two more. */
function slowServer(ms: number): Server & { most: number } {
  let before = Promise.resolve()
  let inside = 0
  const server = {
    most: 0,
    async serve(_: unknown, onTokens: (count: number) => void) {
      server.most = Math.max(server.most, ++inside)
      const mine = before.then(() => sleep(ms))
      before = mine
      await mine
      onTokens(1)
      await sleep(ms)
      onTokens(2)
      inside--
      return 3
    },
    async [Symbol.asyncDispose]() {},
  }
  return server
}

test('a load has half short prompts, no two that begin alike, and is the same for the same seed', () => {
  const load = mixedRequests(corpus, 40, 1)
  assert.equal(load.filter(({ prompt }) => prompt.length < shortPrompt).length, 20)
  for (const [i, { prompt }] of load.entries()) {
    for (const other of load.slice(i + 1)) assert.ok(commonPrefix(prompt, other.prompt) < 4)
  }
  assert.deepEqual(mixedRequests(corpus, 40, 1), load)
  assert.notDeepEqual(mixedRequests(corpus, 40, 2), load)
})

test('prompts with a common beginning say how much of them is common', () => {
  for (const { prompt, shared } of mixedRequests(corpus, 10, 1, [5, 6, 7])) {
    assert.deepEqual(prompt.slice(0, shared), [5, 6, 7])
  }
})

test('arrivals come at the wanted rate, in order', () => {
  const times = arriving(mixedRequests(corpus, 2000, 1), 50, 3).map(({ at }) => at!)
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  )
  assert.ok(Math.abs(times.at(-1)! / 1000 - 40) < 4)
})

test('a closed loop keeps as many requests under way as it has streams', async () => {
  const server = slowServer(5)
  const { outcomes, ms } = await closedLoop(server, mixedRequests(corpus, 9, 1), 3)
  assert.equal(server.most, 3)
  assert.equal(outcomes.length, 9)
  assert.ok(ms >= 45)
  for (const { replyTokens, gaps } of outcomes) {
    assert.equal(replyTokens, 3)
    // Tokens that come together are one moment.
    assert.equal(gaps.length, 1)
  }
})

test('in an open loop the wait for a place belongs to the time to first token', async () => {
  const requests = mixedRequests(corpus, 4, 1).map((request) => ({ ...request, at: 20 }))
  const { outcomes } = await openLoop(slowServer(30), requests)
  const ttft = outcomes.map((outcome) => outcome.ttft)
  // Timers may be early by a millisecond each.
  assert.ok(Math.min(...ttft) >= 28, `${ttft}`)
  assert.ok(Math.max(...ttft) >= 110, `${ttft}`)
})

test('ratios are medians of pairs, and a reply without text does not spoil them', () => {
  const round = (ttft: number, ms = 1000) => ({
    outcomes: [
      { promptTokens: 50, ownTokens: 50, replyTokens: 10, ttft, gaps: [8, 10] },
      { promptTokens: 50, ownTokens: 50, replyTokens: 1, ttft: Number.NaN, gaps: [] },
    ],
    ms,
  })
  const of = (title: string) => loadFigures.filter((figure) => figure.title === title)
  // The machine was slow in the second pair: the pairs still agree.
  const [own, other] = [
    [round(10), round(100), round(11)],
    [round(20), round(200), round(20)],
  ]
  assert.deepEqual(ratiosOf(of('TTFT p50 ms'), own, other), ['0.50'])
  assert.equal(msPerToken.of(round(1)), 2)
  assert.equal(quantile([3, Number.NaN, 1, 2], 0.5), 2)
  assert.ok(Number.isNaN(quantile([], 0.5)))
})

test('a draft chosen with the noise of its position survives as often as Gumbel coupling promises', () => {
  const logits = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log)
  const p = logits(0.55, 0.35, 0.1)
  const same = survivalOf(p, p, 1)
  assert.equal(same.strict, 1)
  assert.ok(Math.abs(same.overlap - 1) < 1e-6)
  const other = survivalOf(p, logits(0.35, 0.55, 0.1), 1)
  assert.ok(Math.abs(other.overlap - 0.8) < 1e-6)
  // Between (1 - d) / (1 + d) and 1 - d for a distance d of 0.2, give or take a hundred draws.
  assert.ok(other.strict > 0.5 && other.strict < 0.9, `${other.strict}`)
  // The second token has more than half of 0.55, and the third has a tenth of the drafts.
  assert.ok(other.tolerant > 0.8 && other.tolerant < 1, `${other.tolerant}`)
  assert.deepEqual(survivalOf(p, logits(0.35, 0.55, 0.1), 0), { strict: 0, overlap: 0, tolerant: 1 })
})

test('what a lossy policy said costs what the worst tokens of its deltas cost', () => {
  const deltas = [
    { text: 'a', tokens: 1, lossy: 0 },
    { text: 'bc', tokens: 2, lossy: 1 },
    { text: 'd', tokens: 1, lossy: 1 },
  ]
  assert.deepEqual(lossyOf({ deltas }, [9, 0, 0.5, 0]), [0.5, 0])
})
