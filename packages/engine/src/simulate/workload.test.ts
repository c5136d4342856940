import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { commonPrefix } from '../core/sequences/sequence-table.ts'
import { type Arrivals, type Mix, parseMix, type SimulatedRequest, Workload } from './workload.ts'

const poisson: Arrivals = { pattern: 'poisson', perSecond: 10 }

function requestsOf(
  mix: Mix,
  options: { arrivals?: Arrivals; requests?: number; seed?: number; context?: number } = {},
) {
  const { arrivals = poisson, requests = 2000, seed = 1, context = 8192 } = options
  const source = new Workload({ mix, arrivals, requests, seed }, context)
  const taken: SimulatedRequest[] = []
  while (source.next < Number.POSITIVE_INFINITY) taken.push(source.take())
  return taken
}

describe('a workload', () => {
  it('is the same for the same seed, and another one for another seed', () => {
    const mix = { chat: 1, agents: 1 }
    assert.deepEqual(requestsOf(mix, { requests: 200 }), requestsOf(mix, { requests: 200 }))
    assert.notDeepEqual(requestsOf(mix, { requests: 200 }), requestsOf(mix, { requests: 200, seed: 2 }))
  })

  it('has its kinds in proportion to their weights', () => {
    const kinds = requestsOf({ chat: 3, rag: 1 }).map(({ kind }) => kind)
    const share = kinds.filter((kind) => kind === 'rag').length / kinds.length
    assert.ok(share > 0.22 && share < 0.28, `${share}`)
  })

  it('comes at the rate that was asked for, one by one or in bursts', () => {
    for (const pattern of ['poisson', 'bursts'] as const) {
      const times = requestsOf({ npc: 1 }, { arrivals: { pattern, perSecond: 10 } }).map(({ arrival }) => arrival)
      const rate = (1000 * times.length) / times.at(-1)!
      assert.ok(rate > 8 && rate < 12, `${pattern} ${rate}`)
      const together = times.filter((time, i) => time === times[i - 1]).length / times.length
      assert.ok(pattern === 'poisson' ? together < 0.01 : together > 0.85, `${pattern} ${together}`)
      assert.deepEqual(
        times,
        [...times].sort((a, b) => a - b),
      )
    }
  })

  it('of streams goes on only when a reply is done', () => {
    const arrivals = { pattern: 'streams', streams: 2 } as const
    const source = new Workload({ mix: { npc: 1 }, arrivals, requests: 3, seed: 1 }, 4096)
    assert.equal(source.take().arrival, 0)
    assert.equal(source.take().arrival, 0)
    assert.equal(source.next, Number.POSITIVE_INFINITY)
    source.done(700)
    assert.equal(source.take().arrival, 700)
    source.done(900)
    assert.equal(source.next, Number.POSITIVE_INFINITY)
  })

  it('shares instructions within a kind, and conversations go on where they ended', () => {
    const agents = requestsOf({ agents: 1 }, { requests: 400 })
    const before = agents.map(({ prompt }, i) => {
      return Math.max(0, ...agents.slice(0, i).map((other) => commonPrefix(other.prompt, prompt)))
    })
    const instructed = before.filter((rows) => rows >= 1500).length / agents.length
    assert.ok(instructed > 0.9, `${instructed} share 1,500 tokens of instructions`)
    // The next turn begins with the whole prompt of the one before, and its reply.
    const source = new Workload({ mix: { agents: 1 }, arrivals: poisson, requests: 400, seed: 1 }, 8192)
    const follows = agents.filter(({ prompt }, i) =>
      agents.slice(0, i).some((other) => {
        const turn = [...other.prompt, ...Array.from({ length: other.reply }, (_, at) => source.said(other.index, at))]
        return commonPrefix(turn, prompt) === turn.length
      }),
    )
    assert.ok(follows.length > 100, `${follows.length} of 400 go on`)
  })

  it('fits into the context', () => {
    for (const { prompt, reply } of requestsOf({ rag: 1, agents: 1, chat: 1 }, { context: 1000 })) {
      assert.ok(prompt.length >= 1 && reply >= 1 && prompt.length + reply < 1000)
    }
  })

  it('gives batch jobs their own tier whatever the others have', () => {
    const source = new Workload({ mix: { batch: 1 }, arrivals: poisson, requests: 1, seed: 1, tier: 'npc' }, 4096)
    assert.equal(source.take().tier.name, 'batch')
  })
})

describe('parseMix', () => {
  it('reads kinds and weights', () => {
    assert.deepEqual(parseMix('chat=0.7, rag=0.3'), { chat: 0.7, rag: 0.3 })
    assert.deepEqual(parseMix('code'), { code: 1 })
  })
  const bad: [string, RegExp][] = [
    ['', /'' is not one of chat, rag/],
    ['poems=1', /'poems' is not one of/],
    ['constructor', /not one of/],
    ['chat=0', /chat must be a number above 0/],
    ['chat=', /chat must be a number/],
    ['chat=x', /chat must be a number/],
    ['chat=1=2', /chat must be a number/],
    ['chat=1,chat=2', /chat stands there twice/],
  ]
  for (const [text, message] of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseMix(text), { code: 'invalid_request', param: 'mix', message })
    })
  }
})
