import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GuessSampler } from './guess-sampler.ts'

const quality = { drafts: 0.6, coverage: 0.4, looks: 0.71, exits: 0.3 }
const sampler = new GuessSampler(quality, 1)
const requests = Array.from({ length: 4000 }, (_, i) => i)
const share = (hits: readonly boolean[]) => hits.filter(Boolean).length / hits.length
const near = (a: number, b: number, tolerance = 0.03) => assert.ok(Math.abs(a - b) < tolerance, `${a} is not ${b}`)

test('guesses are right as often as was asked for', () => {
  near(share(requests.map((request) => sampler.draft(request, 3))), 0.6)
  near(share(requests.map((request) => sampler.exit(request, 3))), 0.3)
  near(share(requests.map((request) => sampler.offers(request, 3))), 0.4)
  near(share(requests.map((request) => sampler.look(request, 0.1).right)), 0.71)
})

test('a look is right as often as its stability says', () => {
  const sure = requests.map((request) => sampler.look(request, 0.1)).filter(({ stability }) => stability >= 0.9)
  const mean = sure.reduce((sum, { stability }) => sum + stability, 0) / sure.length
  near(share(sure.map(({ right }) => right)), mean)
  assert.ok(sure.length > 1000)
})

test('a later look misses in proportion to what is left unread', () => {
  near(share(requests.map((request) => sampler.look(request, 0.55).right)), 1 - 0.29 / 2)
  near(share(requests.map((request) => sampler.look(request, 1).right)), 1)
})

test('a better quality is right wherever a worse one was', () => {
  const better = new GuessSampler({ ...quality, drafts: 0.8 }, 1)
  for (const request of requests) if (sampler.draft(request, 0)) assert.ok(better.draft(request, 0))
})
