import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sized } from '../../test/fixtures/test-size.ts'
import type { GenerateEvent } from '../api/events.ts'
import { Reply } from './reply.ts'

const emoji = new TextEncoder().encode('😀')
/** Letters, parts of an emoji, and an end. */
const pieces = [...[...'abc'].map((letter) => new TextEncoder().encode(letter)), emoji.slice(0, 2), emoji.slice(2)]
const end = pieces.length
const usage = { promptTokens: 3, cachedTokens: 0 }

/** A reply, what was said of it, and the tokens that were told with that. */
class Life {
  readonly events: GenerateEvent[] = []
  readonly told: number[] = []
  /** How many events there were after each step but the last: those of a step come together or not at all. */
  readonly cuts = [0]
  clock = 100
  readonly reply: Reply

  constructor(stop: readonly string[]) {
    this.reply = new Reply({
      bytesOf: (token) => pieces[token]!,
      isEnd: (token) => token === end,
      stop,
      provisional: true,
      minStability: 0,
      now: () => this.clock,
      emit: (event, tokens = []) => {
        this.events.push(event)
        this.told.push(...tokens)
      },
    })
  }

  /** Says tokens to the end, in steps of this many. */
  say(tokens: readonly number[], perStep: number): void {
    for (const [i, token] of tokens.entries()) {
      this.clock++
      if (this.reply.commit(token) === 'stop') {
        this.reply.finish('stop', usage)
        return
      }
      if (i % perStep !== perStep - 1) continue
      this.reply.flush()
      this.cuts.push(this.events.length)
    }
    this.reply.finish('length', usage)
  }

  get text(): string {
    return this.events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
  }
}

test('a reply that goes on after any of its steps says the rest, and accounts for all of it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(end), { minLength: 1, maxLength: 30 }),
      fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 3 }), { maxLength: 2 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(),
      (tokens, stop, perStep, cut) => {
        const whole = new Life(stop)
        whole.say(tokens, perStep)
        const before = whole.events.slice(0, whole.cuts[cut % whole.cuts.length])
        const count = before.reduce((sum, event) => sum + (event.type === 'delta' ? event.tokens : 0), 0)
        const text = before.map((event) => (event.type === 'delta' ? event.text : '')).join('')
        const next = new Life(stop)
        const life = {
          tokens: whole.told.slice(0, count),
          scored: 0,
          elapsedMs: 50,
          committedMs: count ? 10 : null,
          rev: 7,
        }
        const ended = next.reply.goOn(life)
        assert.equal(next.events.length, 0)
        if (ended) next.reply.finish(ended, usage)
        else next.say(tokens.slice(count), perStep)
        assert.equal(text + next.text, whole.text)
        const done = next.events.at(-1)
        const wanted = whole.events.at(-1)
        assert(done?.type === 'done' && wanted?.type === 'done')
        assert.deepEqual([done.usage, done.finishReason], [wanted.usage, wanted.finishReason])
        assert.deepEqual(done.stopString, wanted.stopString)
        if (count > 0) assert.equal(done.timings.committedMs, 10)
      },
    ),
    { numRuns: sized(2000) },
  )
})

test('moments are counted from when the request was accepted first, and revisions go on', () => {
  const life = new Life([])
  life.reply.goOn({ tokens: [], scored: 0, elapsedMs: 1000, committedMs: null, rev: 4 })
  life.clock += 5
  life.reply.show([{ token: 0, stability: 1 }], 'exit')
  life.say([0], 1)
  const [shown, , done] = life.events
  assert(shown?.type === 'provisional' && done?.type === 'done')
  assert.deepEqual([shown.rev, shown.base, shown.text], [5, 0, 'a'])
  assert.deepEqual([done.timings.provisionalMs, done.timings.committedMs], [1005, 1006])
})
