import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Acceptances } from './acceptances.ts'
import { Opening, Openings } from './opening.ts'
import type { Draft } from './proposer.ts'

const eos = 2

interface World {
  openings: Openings
  acceptances: Acceptances
}

function world(limits?: { namespaces: number; promptsPerNamespace: number; prompts: number }): World {
  return { openings: new Openings(limits), acceptances: new Acceptances() }
}

function opening({ openings, acceptances }: World, namespace: string): Opening {
  return new Opening(openings, namespace, acceptances, 'chat', (token) => token === eos)
}

/** What is proposed for a reply to this prompt that began with `given`. */
function ask(
  world: World,
  prompt: readonly number[],
  given: readonly number[] = [],
  namespace = '',
): Draft | undefined {
  const tokens = [...prompt, ...given]
  return opening(world, namespace).propose({ tokens, committed: tokens.length, prompt: prompt.length })
}

/** A reply was given to this prompt. */
function reply(world: World, prompt: readonly number[], reply: readonly number[], namespace = ''): void {
  const tokens = [...prompt, ...reply]
  opening(world, namespace).finished({ tokens, committed: tokens.length, prompt: prompt.length })
}

/** Prompts of a task that differ in what it is about. */
const translate = (i: number) => [10, 11, 12, 13, 1000 + 2 * i, 1001 + 2 * i, 3, 4]
const summarise = (i: number) => [20, 21, 22, 23, 5000 + 2 * i, 5001 + 2 * i, 3, 4]

test('without earlier replies nothing is proposed', () => {
  assert.equal(ask(world(), translate(1)), undefined)
})

test('a reply is proposed to begin as those to similar prompts did', () => {
  const w = world()
  for (let i = 0; i < 10; i++) {
    reply(w, translate(i), [70, 71, 72, 73, 74])
    reply(w, summarise(i), [80, 81, 82, 83, 84])
  }
  assert.deepEqual(ask(w, translate(99))?.tokens, [70, 71, 72, 73])
  assert.deepEqual(ask(w, summarise(99))?.tokens, [80, 81, 82, 83])
})

test('a prompt like none before gets the most frequent beginning', () => {
  const w = world()
  for (let i = 0; i < 8; i++) reply(w, translate(i), [70, 71])
  for (let i = 0; i < 3; i++) reply(w, summarise(i), [80, 81])
  const draft = ask(w, [900, 901, 902])!
  assert.equal(draft.tokens[0], 70)
  assert.ok(draft.confidences[0]! < ask(w, translate(50))!.confidences[0]!)
})

test('once the reply has begun, the vote goes on among replies that began alike', () => {
  const w = world()
  for (let i = 0; i < 9; i++) reply(w, translate(i), i % 3 === 0 ? [70, 75, 76, 77] : [70, 71, 72, 73])
  for (let i = 9; i < 12; i++) reply(w, translate(i), [90, 91, 92, 93])
  assert.deepEqual(ask(w, translate(50), [70])?.tokens, [71, 72, 73])
  assert.deepEqual(ask(w, translate(50), [70, 75])?.tokens, [76, 77])
  assert.deepEqual(ask(w, translate(50), [90])?.tokens, [91, 92, 93])
  assert.equal(ask(w, translate(50), [55]), undefined)
  assert.equal(ask(w, translate(50), [70, 71, 72, 73]), undefined)
})

test('asked again while the reply grows, one proposer goes on or turns', () => {
  const w = world()
  for (let i = 0; i < 9; i++) reply(w, translate(i), i % 3 === 0 ? [70, 75, 76, 77] : [70, 71, 72, 73])
  const proposer = opening(w, '')
  const at = (given: readonly number[]) => {
    const tokens = [...translate(50), ...given]
    return proposer.propose({ tokens, committed: tokens.length, prompt: 8 })?.tokens
  }
  assert.deepEqual(at([]), [70, 71, 72, 73])
  assert.deepEqual(at([70]), [71, 72, 73])
  assert.deepEqual(at([70, 75]), [76, 77])
})

test('a draft ends where replies ended, and never holds the token that ends them', () => {
  const w = world()
  for (let i = 0; i < 9; i++) reply(w, translate(i), [70, 71, eos])
  assert.deepEqual(ask(w, translate(50))?.tokens, [70, 71])
  assert.equal(ask(w, translate(50), [70, 71]), undefined)
  const empty = world()
  for (let i = 0; i < 9; i++) reply(empty, translate(i), [eos])
  assert.equal(ask(empty, translate(50)), undefined)
})

test('a reply that was cut short says nothing about what would have followed', () => {
  const w = world()
  for (let i = 0; i < 8; i++) reply(w, translate(i), [70])
  reply(w, translate(8), [70, 71, 72, 73])
  assert.deepEqual(ask(w, translate(50))?.tokens, [70, 71, 72, 73])
  const before = ask(w, translate(50))!.confidences[1]!
  for (let i = 0; i < 10; i++) reply(w, translate(100 + i), [70])
  assert.ok(ask(w, translate(50))!.confidences[1]! >= before)
})

test('later tokens are judged only where those before them were right', () => {
  const w = world()
  for (let i = 0; i < 200; i++) reply(w, translate(i), i % 2 === 0 ? [70, 71, 72, 73] : [80, 81, 82, 83])
  const { confidences } = ask(w, translate(999))!
  assert.ok(confidences[0]! < 0.7)
  assert.ok(
    confidences.slice(1).every((confidence) => confidence > 0.9),
    `${confidences}`,
  )
})

test('the same prompt again: its own reply counts, whatever similar prompts got', () => {
  const w = world()
  for (let i = 0; i < 30; i++) reply(w, translate(i), [70, 71, 72, 73])
  reply(w, translate(77), [60, 61, 62, 63])
  assert.deepEqual(ask(w, translate(77))?.tokens, [60, 61, 62, 63])
  assert.deepEqual(ask(w, translate(78))?.tokens, [70, 71, 72, 73])
})

test('one namespace learns nothing from another', () => {
  const w = world()
  for (let i = 0; i < 10; i++) reply(w, translate(i), [70, 71, 72, 73], 'a')
  assert.equal(ask(w, translate(3), [], 'b'), undefined)
  assert.deepEqual(ask(w, translate(3), [], 'a')?.tokens, [70, 71, 72, 73])
})

test('only so many prompts and namespaces are remembered, the latest ones', () => {
  const w = world({ namespaces: 3, promptsPerNamespace: 20, prompts: 50 })
  for (let i = 0; i < 100; i++) reply(w, translate(i), [70, 71, 72, 73], 'a')
  for (let i = 0; i < 20; i++) reply(w, translate(i), [80, 81, 82, 83], 'a')
  assert.equal(w.openings.of('a').size, 20)
  assert.deepEqual(ask(w, translate(200), [], 'a')?.tokens, [80, 81, 82, 83])
  // Nor does anything else count that was forgotten.
  assert.deepEqual(ask(w, [900, 901, 902], [], 'a')?.tokens, [80, 81, 82, 83])
  for (const namespace of ['b', 'c']) for (let i = 0; i < 20; i++) reply(w, translate(i), [60, 61], namespace)
  // 60 prompts are more than 50: `a` was used before `b` and `c`.
  assert.equal(w.openings.of('a').size, 0)
  assert.equal(w.openings.of('b').size, 20)
  // Now `b` was used after `c`.
  for (const namespace of ['d', 'e']) w.openings.of(namespace)
  assert.equal(w.openings.of('b').size, 20)
  assert.equal(w.openings.of('c').size, 0)
})

test('what was always right is trusted', () => {
  const w = world()
  for (let i = 0; i < 200; i++) reply(w, translate(i), [70, 71, 72, 73])
  const { confidences } = ask(w, translate(999))!
  assert.ok(
    confidences.every((confidence) => confidence > 0.95),
    `${confidences}`,
  )
})

test('at each level of confidence about that share of first tokens is right', () => {
  // Three tasks whose replies begin alike in 95, 70 and 30 of 100 cases.
  const rates = [0.95, 0.7, 0.3]
  let seed = 1
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  const w = world()
  const sums = [0, 1, 2].map(() => ({ asked: 0, right: 0, confidence: 0 }))
  for (let i = 0; i < 3000; i++) {
    const task = i % 3
    const prompt = [...[0, 1, 2, 3].map((j) => 100 * (task + 1) + j), 1000 + 2 * i, 1001 + 2 * i, 3, 4]
    const first = random() < rates[task]! ? 70 + task : 500 + Math.floor(random() * 100)
    const draft = ask(w, prompt)
    const sum = sums[task]!
    if (draft && i > 600) {
      sum.asked++
      sum.confidence += draft.confidences[0]!
      if (draft.tokens[0] === first) sum.right++
    }
    reply(w, prompt, [first, 1, 2, 3])
  }
  for (const [task, { asked, right, confidence }] of sums.entries()) {
    assert.ok(Math.abs(right / asked - rates[task]!) < 0.06, `task ${task}: right in ${right / asked}`)
    assert.ok(Math.abs(confidence - right) / asked < 0.08, `task ${task}: ${confidence / asked} of ${right / asked}`)
  }
})

test('whatever is learnt, a draft is a chain of tokens that may follow', () => {
  const token = fc.nat(5)
  const prompt = fc.array(token, { minLength: 1, maxLength: 6 })
  const text = fc.array(token, { maxLength: 6 })
  fc.assert(
    fc.property(fc.array(fc.tuple(prompt, text), { maxLength: 60 }), prompt, text, (past, asked, given) => {
      const w = world({ namespaces: 2, promptsPerNamespace: 20, prompts: 30 })
      for (const [prompt, answer] of past) reply(w, prompt, answer)
      const draft = ask(w, asked, given)
      if (draft === undefined) return
      assert.ok(draft.tokens.length > 0 && draft.tokens.length + given.length <= 4)
      assert.equal(draft.tokens.length, draft.confidences.length)
      assert.ok(draft.confidences.every((confidence) => confidence > 0 && confidence < 1))
      assert.ok(!draft.tokens.includes(eos))
      // Every proposed beginning is one that was seen.
      const proposed = [...given, ...draft.tokens].join()
      assert.ok(past.some(([, answer]) => answer.join().startsWith(proposed)))
    }),
    { numRuns: 500 },
  )
})
