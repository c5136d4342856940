import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Provisional, RevisableText } from './revisable-text.ts'

/** A text after these events: strings are deltas, [rev, base, text] is provisional. */
function after(...events: (string | [number, number, string])[]): RevisableText {
  const reply = new RevisableText()
  for (const event of events) {
    if (typeof event === 'string') reply.commit(event)
    else reply.revise({ rev: event[0], base: event[1], text: event[2] })
  }
  return reply
}

function shows(reply: RevisableText, committed: string, tail: string): void {
  assert.deepEqual([reply.committed, reply.provisional, String(reply)], [committed, tail, committed + tail])
}

test('committed text comes from deltas alone', () => shows(after('The ', 'end'), 'The end', ''))

test('a provisional tail follows the committed text', () => shows(after('The ', [1, 4, 'quick']), 'The ', 'quick'))

test('a newer tail replaces the former', () => shows(after([1, 0, 'one two'], [2, 0, 'on']), '', 'on'))

test('an empty tail takes the former back', () => shows(after('a', [1, 1, 'b'], [2, 1, '']), 'a', ''))

test('a delta confirms the beginning of the tail', () => shows(after([1, 0, 'one two'], 'one'), 'one', ' two'))

test('a delta that disagrees drops the tail', () => shows(after([1, 0, 'one two'], 'once'), 'once', ''))

test('a delta that goes beyond the tail leaves none', () => shows(after([1, 0, 'one'], 'one two'), 'one two', ''))

test('an older or repeated revision is dropped', () => {
  shows(after([2, 0, 'new'], [1, 0, 'old']), '', 'new')
  shows(after([2, 0, 'new'], [2, 0, 'again']), '', 'new')
  shows(after([2, 0, 'new'], [3, 0, ''], [2, 0, 'new']), '', '')
})

test('a tail from before the last delta is shortened by what the delta committed', () => {
  shows(after('one', [1, 0, 'one two']), 'one', ' two')
  shows(after('one two', [1, 4, 'two three']), 'one two', ' three')
})

test('a tail that contradicts the committed text is not shown, and ends the tail before it', () => {
  shows(after('one', [1, 0, 'once upon']), 'one', '')
  shows(after('one', [1, 3, ' two'], [2, 0, 'once upon']), 'one', '')
  shows(after('one two', [1, 0, 'one']), 'one two', '')
})

test('a tail that begins beyond the committed text is not shown, and ends the tail before it', () => {
  shows(after('one', [1, 4, 'two']), 'one', '')
  shows(after('one', [1, 3, ' two'], [2, 9, 'x']), 'one', '')
  // What it covers does not appear later either: nobody knows what it followed.
  shows(after('one', [1, 4, 'two'], ' '), 'one ', '')
})

test('a nonsensical base or revision shows nothing', () => {
  shows(after('one', [1, -1, 'et']), 'one', '')
  shows(after('one', [1, Number.NaN, 'e']), 'one', '')
  shows(after('one', [1, 3, ' two'], [Number.NaN, 3, ' three']), 'one', ' two')
})

test('stability and source belong to the tail and leave with it', () => {
  const reply = new RevisableText()
  reply.revise({ rev: 1, base: 0, text: 'one two', stability: 0.93, source: 'skim' })
  assert.deepEqual([reply.value.stability, reply.value.source], [0.93, 'skim'])
  reply.commit('one')
  assert.deepEqual([reply.value.stability, reply.value.source], [0.93, 'skim'])
  reply.commit(' or')
  assert.deepEqual([reply.value.stability, reply.value.source], [undefined, undefined])
  reply.revise({ rev: 2, base: 6, text: ' more' })
  assert.deepEqual([reply.value.stability, reply.value.source], [undefined, undefined])
})

type Event = { delta: string } | Provisional

// Two letters, so that guesses are often right, partly right and wrong.
const letters = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom('a', 'b'), minLength, maxLength })

/** What a server sends in order: deltas, and guesses whose base lies in or near the text committed so far. */
const script: fc.Arbitrary<Event[]> = fc
  .array(fc.oneof(letters(1, 4), fc.record({ back: fc.integer({ min: -1, max: 5 }), text: letters(0, 6) })), {
    maxLength: 12,
  })
  .map((steps) => {
    let committed = 0
    let rev = 0
    return steps.map((step) => {
      if (typeof step === 'string') {
        committed += step.length
        return { delta: step }
      }
      rev++
      return { rev, base: Math.max(0, committed - step.back), text: step.text }
    })
  })

function apply(reply: RevisableText, event: Event): void {
  if ('delta' in event) reply.commit(event.delta)
  else reply.revise(event)
}

const state = (reply: RevisableText) => [reply.committed, reply.provisional]

test('the text is the newest claim about it for as long as the committed text agrees with that', () => {
  fc.assert(
    fc.property(script, (events) => {
      const reply = new RevisableText()
      let committed = ''
      // The whole text as the newest provisional event would have it.
      let claim = ''
      for (const event of events) {
        if ('delta' in event) committed += event.delta
        else claim = event.base <= committed.length ? committed.slice(0, event.base) + event.text : ''
        apply(reply, event)
        assert.equal(reply.committed, committed)
        assert.equal(String(reply), claim.startsWith(committed) ? claim : committed)
      }
    }),
    { numRuns: 1000 },
  )
})

test('committed text is only ever appended to, whatever arrives', () => {
  const any = fc.oneof(
    fc.record({ delta: fc.string() }),
    fc.record({ rev: fc.integer(), base: fc.oneof(fc.integer(), fc.double()), text: fc.string() }),
  )
  fc.assert(
    fc.property(fc.array(any), (events) => {
      const reply = new RevisableText()
      for (const event of events) {
        const before = reply.committed
        apply(reply, event)
        assert.equal(reply.committed, 'delta' in event ? before + event.delta : before)
      }
    }),
  )
})

test('stale events change nothing, wherever and in whatever order they arrive', () => {
  fc.assert(
    fc.property(script, fc.array(fc.tuple(fc.nat(), fc.nat())), (events, repeats) => {
      const clean = new RevisableText()
      const noisy = new RevisableText()
      for (const [i, event] of events.entries()) {
        apply(clean, event)
        apply(noisy, event)
        const seen = events.slice(0, i + 1).filter((e) => !('delta' in e))
        for (const [at, which] of repeats) {
          if (at % events.length === i && seen.length > 0) apply(noisy, seen[which % seen.length]!)
        }
        assert.deepEqual(state(noisy), state(clean))
      }
    }),
    { numRuns: 500 },
  )
})

test('a provisional event that deltas have overtaken leads to the same text', () => {
  fc.assert(
    fc.property(letters(0, 5), letters(0, 8), fc.nat(5), fc.array(letters(1, 3)), (first, text, at, deltas) => {
      const event = { rev: 1, base: Math.min(at, first.length), text }
      const onTime = after(first)
      onTime.revise(event)
      for (const delta of deltas) onTime.commit(delta)
      const late = after(first, ...deltas)
      late.revise(event)
      assert.deepEqual(state(late), state(onTime))
    }),
    { numRuns: 500 },
  )
})
