import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RevisableText } from '../../../client/src/revisable-text.ts'
import { replay } from '../../test/replay.ts'
import type { DeltaEvent, DoneEvent, FinishReason, GenerateEvent, ProvisionalEvent } from '../api/events.ts'
import { type Guess, Reply, type ReplyOptions } from './reply.ts'

const encoder = new TextEncoder()
const emoji = encoder.encode('😀')
/** Letters, so that repetitions and stop strings are common; pieces of an emoji; a byte that is never valid; an end. */
const pieces = [...'abc'].map((letter) => encoder.encode(letter))
pieces.push(encoder.encode('ab'), emoji.slice(0, 1), emoji.slice(1, 3), emoji.slice(3), Uint8Array.of(0xff))
const end = pieces.length
const token = fc.nat(end - 1)

function decode(tokens: readonly number[]): string {
  const bytes = Buffer.concat(tokens.map((token) => pieces[token]!))
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

/** The text before the first stop string by its definition: the first end, then the longest that ends there. */
function cut(stops: readonly string[], text: string): string {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)
    if (matches[0] !== undefined) return text.slice(0, end - matches[0].length)
  }
  return text
}

/** A reply with a reader that follows its events, and a clock that is moved by hand. */
class Conversation {
  readonly reply: Reply
  readonly reader = new RevisableText()
  readonly events: GenerateEvent[] = []
  /** What the reader could see after each event, and when. */
  readonly views: { text: string; ms: number; event: GenerateEvent }[] = []
  readonly committed: number[] = []
  readonly commitTimes: number[] = []
  clock = 1000

  constructor(options: Partial<ReplyOptions> = {}) {
    this.reply = new Reply({
      bytesOf: (token) => pieces[token]!,
      isEnd: (token) => token === end,
      stop: [],
      provisional: true,
      minStability: 0,
      now: () => this.clock,
      emit: (event) => this.#read(event),
      ...options,
    })
  }

  #read(event: GenerateEvent): void {
    if (event.type === 'delta') this.reader.commit(event.text)
    if (event.type === 'provisional') {
      assert.equal(event.base, this.reader.committed.length, 'base is the committed length at that moment')
      this.reader.revise(event)
      assert.equal(this.reader.provisional, event.text, 'the reader shows what was said')
    }
    this.events.push(event)
    this.views.push({ text: String(this.reader), ms: this.clock - 1000, event })
  }

  /** What an engine does after a step. Returns true when the reply has ended. */
  step(tokens: readonly number[], tail: readonly Guess[]): boolean {
    for (const token of tokens) {
      this.committed.push(token)
      this.commitTimes.push(this.clock - 1000)
      if (this.reply.commit(token) === 'stop') return true
    }
    this.reply.flush()
    this.reply.show(tail, 'skim')
    return false
  }

  finish(reason: FinishReason = 'length'): DoneEvent {
    this.reply.finish(reason, { promptTokens: 5, cachedTokens: 0 })
    const done = this.events.at(-1)
    assert.equal(done?.type, 'done')
    return done as DoneEvent
  }

  of<T extends GenerateEvent['type']>(type: T): Extract<GenerateEvent, { type: T }>[] {
    return this.events.filter((event) => event.type === type) as Extract<GenerateEvent, { type: T }>[]
  }
}

const guess = (tokens: fc.Arbitrary<number>): fc.Arbitrary<Guess> =>
  fc.record({ token: tokens, stability: fc.constantFrom(0, 0.5, 0.8, 0.95, 1) })

const steps = (tokens: fc.Arbitrary<number>) =>
  fc.array(
    fc.record({
      tokens: fc.array(tokens, { maxLength: 4 }),
      tail: fc.array(guess(tokens), { maxLength: 4 }),
      // Real tails are confirmed more often than not.
      follow: fc.nat(4),
      wait: fc.nat(20),
    }),
    { maxLength: 12 },
  )

/** Plays random steps: `follow` tokens of the former tail are committed first. */
function play(conversation: Conversation, plan: { tokens: number[]; tail: Guess[]; follow: number; wait: number }[]) {
  let tail: Guess[] = []
  for (const { tokens, follow, wait, ...step } of plan) {
    conversation.clock += wait
    const confirmed = tail.slice(0, follow).map(({ token }) => token)
    tail = step.tail
    if (conversation.step([...confirmed, ...tokens], tail)) return true
  }
  return false
}

const anyToken = fc.oneof({ weight: 30, arbitrary: token }, { weight: 1, arbitrary: fc.constant(end) })
const stops = fc.array(fc.constantFrom('abc', 'ca', 'bb', 'a😀', '\ufffd', 'cc'), { maxLength: 2 })

test('whatever is guessed, the reader ends with the committed text, and never sees a stop string', () => {
  fc.assert(
    fc.property(
      steps(anyToken),
      stops,
      fc.constantFrom(0, 0.5, 0.9),
      fc.constantFrom<FinishReason>('length', 'context', 'cancelled'),
      (plan, stop, minStability, reason) => {
        const conversation = new Conversation({ stop, minStability })
        const stopped = play(conversation, plan)
        conversation.finish(stopped ? 'stop' : reason)
        const { reader, committed } = conversation
        const whole = cut(stop, decode(committed.filter((token) => token !== end)))
        assert.equal(
          conversation
            .of('delta')
            .map(({ text }) => text)
            .join(''),
          reader.committed,
        )
        assert.equal(reader.provisional, '')
        if (!stopped && reason === 'cancelled') assert.ok(whole.startsWith(reader.committed))
        else assert.equal(reader.committed, whole)
        for (const { text } of conversation.views) {
          for (const string of stop) assert.ok(!text.includes(string), `'${text}' contains '${string}'`)
        }
        let rev = 0
        for (const event of conversation.of('provisional')) {
          assert.ok(event.rev > rev)
          rev = event.rev
        }
        for (const event of conversation.of('delta')) assert.ok(event.text !== '' && event.text.isWellFormed())
        const counted = conversation.of('delta').reduce((sum, { tokens }) => sum + tokens, 0)
        assert.ok(counted <= committed.length)
      },
    ),
    { numRuns: 3000, ...replay },
  )
})

test('revisions rise by one, their base never falls, and what is committed is never withdrawn', () => {
  const acts = fc.array(
    fc.oneof(
      fc.record({ act: fc.constant('commit' as const), tokens: fc.array(anyToken, { minLength: 1, maxLength: 3 }) }),
      fc.record({ act: fc.constant('say' as const) }),
      fc.record({ act: fc.constant('show' as const), tail: fc.array(guess(anyToken), { maxLength: 4 }) }),
    ),
    { maxLength: 30 },
  )
  fc.assert(
    fc.property(acts, stops, fc.constantFrom(0, 0.5), (acts, stop, minStability) => {
      const conversation = new Conversation({ stop, minStability })
      const { reply, reader } = conversation
      let committed = ''
      let stopped = false
      for (const one of acts) {
        if (one.act === 'say') reply.flush()
        else if (one.act === 'show') {
          // Guesses follow what was said.
          reply.flush()
          reply.show(one.tail, 'skim')
        } else for (const token of one.tokens) stopped ||= reply.commit(token) === 'stop'
        assert.ok(reader.committed.startsWith(committed), `'${committed}' was withdrawn for '${reader.committed}'`)
        committed = reader.committed
        if (stopped) break
      }
      conversation.finish(stopped ? 'stop' : 'length')
      assert.ok(reader.committed.startsWith(committed))
      let rev = 0
      let base = 0
      for (const event of conversation.of('provisional')) {
        assert.equal(event.rev, ++rev)
        assert.ok(event.base >= base)
        base = event.base
      }
      assert.equal(conversation.events.at(-1)!.type, 'done')
    }),
    { numRuns: 3000, ...replay },
  )
})

test('a guess is shown with those before it when all of them together are stable enough, and not otherwise', () => {
  fc.assert(
    fc.property(fc.array(guess(token), { maxLength: 5 }), fc.constantFrom(0.5, 0.7, 0.9), (tail, minStability) => {
      const conversation = new Conversation({ minStability })
      conversation.step([], tail)
      let stability = 1
      let length = 0
      while (length < tail.length && stability * tail[length]!.stability >= minStability) {
        stability *= tail[length++]!.stability
      }
      // An emoji that is not complete is not shown either.
      const text = decode(tail.slice(0, length).map(({ token }) => token)).replace(/\ufffd$/, '')
      const event = conversation.of('provisional')[0]
      if (event === undefined) return assert.ok(text === '' || length === 0)
      assert.ok(event.text.startsWith(text))
      assert.equal(event.tokens, length)
      assert.ok(event.stability >= minStability && Math.abs(event.stability - stability) < 1e-12)
    }),
  )
})

// One letter per token: what the reader sees says which tokens are shown.
test('the first word has a bound of its own where there is one, and what follows it is measured by itself', () => {
  const tail = [
    { token: 0, stability: 0.8 },
    { token: 1, stability: 0.95 },
    { token: 2, stability: 0.9 },
  ]
  const shown = (firstStability: number | undefined, said: number[] = []) => {
    const one = new Conversation({ minStability: 0.9, firstStability })
    one.step(said, tail)
    return one.reader.provisional
  }
  assert.equal(shown(undefined), '')
  assert.equal(shown(0.81), '')
  assert.equal(shown(0.8), 'ab', '0.95 is enough, 0.95 times 0.9 is not')
  assert.equal(shown(0.8, [0]), '', 'inside a reply the bound is that of everything')
})

test('what was shown first is known, whatever came after it', () => {
  const one = new Conversation({ minStability: 0.5 })
  one.step([], [{ token: 2, stability: 0.4 }])
  assert.equal(one.reply.firstShown, undefined)
  one.step([], [{ token: 1, stability: 0.7 }])
  one.step([], [{ token: 0, stability: 0.9 }])
  assert.deepEqual(one.reply.firstShown, { token: 1, stability: 0.7, source: 'skim' })
  const late = new Conversation({ minStability: 0.5 })
  late.step([0], [{ token: 1, stability: 0.7 }])
  assert.equal(late.reply.firstShown, undefined, 'the reply had begun')
})

test('the timings are what the reader saw with a clock in hand', () => {
  fc.assert(
    fc.property(steps(fc.nat(2)), fc.constantFrom(0, 0.6), (plan, minStability) => {
      const conversation = new Conversation({ minStability })
      play(conversation, plan)
      conversation.clock += 3
      const { timings } = conversation.finish()
      const { views, commitTimes, reader } = conversation
      const first = (seen: (view: (typeof views)[number]) => boolean) => views.find(seen)?.ms ?? null
      assert.equal(
        timings.provisionalMs,
        first(({ text }) => text !== ''),
      )
      assert.equal(
        timings.committedMs,
        first(({ event }) => event.type === 'delta'),
      )
      assert.equal(timings.predictedN, commitTimes.length)
      assert.equal(timings.predictedMs, commitTimes.length === 0 ? 0 : commitTimes.at(-1)! - commitTimes[0]!)
      // Stable: the last moment at which the first letter was not there yet, or another one.
      let stable: number | null = null
      for (const { text, ms } of views) {
        if (text[0] !== reader.committed[0]) stable = null
        else stable ??= ms
      }
      assert.equal(timings.stableMs, reader.committed === '' ? null : stable)
      const takenBack = views.filter(({ text }, i) => i > 0 && !text.startsWith(views[i - 1]!.text)).length
      assert.equal(timings.retractedN, takenBack)
    }),
    { numRuns: 3000, ...replay },
  )
})

const sure = (...tokens: number[]): Guess[] => tokens.map((token) => ({ token, stability: 1 }))
const [a, b, c, , lead, middle, last] = pieces.keys()

test('a tail is only said when it changed', () => {
  const conversation = new Conversation()
  conversation.step([], sure(a!, b!))
  conversation.step([], sure(a!, b!))
  conversation.step([a!], sure(b!))
  assert.deepEqual(
    conversation.events.map(({ type }) => type),
    ['provisional', 'delta'],
  )
})

test('a tail that is confirmed by a longer delta was not taken back', () => {
  const conversation = new Conversation()
  conversation.step([], sure(a!, b!))
  conversation.step([a!, b!, c!], [])
  assert.equal(conversation.finish().timings.retractedN, 0)
  assert.equal(conversation.of('provisional').length, 1)
})

test('a tail that is replaced is taken back with a reason', () => {
  const conversation = new Conversation()
  conversation.step([], sure(a!))
  conversation.step([], sure(b!))
  conversation.step([], [])
  const events = conversation.of('provisional')
  assert.deepEqual(
    events.map(({ text, reason }: ProvisionalEvent) => [text, reason]),
    [
      ['a', undefined],
      ['b', 'mismatch'],
      ['', 'mismatch'],
    ],
  )
  assert.equal(conversation.finish().timings.retractedN, 2)
})

test('a character that spans tokens appears when it is whole, in the tail and in the text', () => {
  const conversation = new Conversation()
  conversation.step([], sure(lead!, middle!))
  assert.equal(conversation.events.length, 0)
  conversation.step([lead!], sure(middle!, last!, a!))
  assert.equal(String(conversation.reader), '😀a')
  assert.equal(conversation.reader.committed, '')
  conversation.step([middle!, last!], sure(a!))
  assert.deepEqual(
    conversation.of('delta').map(({ text, tokens }: DeltaEvent) => [text, tokens]),
    [['😀', 3]],
  )
})

test('a text that ends inside a character ends with U+FFFD; a cancelled one ends before', () => {
  for (const [reason, text] of [
    ['length', 'a\ufffd'],
    ['cancelled', 'a'],
  ] as const) {
    const conversation = new Conversation()
    conversation.step([a!, lead!, middle!], [])
    conversation.finish(reason)
    assert.equal(conversation.reader.committed, text)
  }
})

test('guesses stay hidden without the provisional policy', () => {
  const conversation = new Conversation({ provisional: false })
  conversation.step([], sure(a!, b!))
  conversation.step([a!], sure(b!))
  conversation.finish()
  assert.equal(conversation.of('provisional').length, 0)
})

test('an end of generation in the tail hides what is behind it', () => {
  const conversation = new Conversation()
  conversation.step([], sure(a!, end, b!))
  assert.equal(conversation.reader.provisional, 'a')
})

test('what may become a stop string is held back, then released or dropped', () => {
  const conversation = new Conversation({ stop: ['abc'] })
  conversation.step([a!], sure(b!))
  assert.equal(String(conversation.reader), '')
  conversation.step([b!, b!], [])
  assert.equal(conversation.reader.committed, 'abb')
  assert.equal(conversation.step([a!, b!, c!], []), true)
  const done = conversation.finish('stop')
  assert.equal(done.stopString, 'abc')
  assert.equal(conversation.reader.committed, 'abb')
})

test('a guess whose text is held back does not count as shown', () => {
  const conversation = new Conversation({ stop: ['bb'] })
  conversation.step([], sure(a!))
  conversation.clock += 10
  conversation.step([], sure(b!))
  conversation.clock += 10
  conversation.step([b!, a!], [])
  assert.equal(conversation.finish().timings.stableMs, 20)
})

test('what came of the guesses is in the usage', () => {
  const conversation = new Conversation()
  conversation.step([a!, b!], [])
  conversation.reply.timings.acceptedN = 1
  conversation.reply.timings.rejectedN = 2
  assert.deepEqual(conversation.finish().usage, {
    promptTokens: 5,
    cachedTokens: 0,
    completionTokens: 2,
    acceptedPredictionTokens: 1,
    rejectedPredictionTokens: 2,
  })
})
