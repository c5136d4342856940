import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Acceptances } from './acceptances.ts'
import { Prediction, predictedText, predictionAcceptance } from './prediction.ts'
import { maxDraft } from './proposer.ts'

const end = -1

function predict(predicted: readonly number[], acceptances = new Acceptances()): Prediction {
  return new Prediction(predicted, predictionAcceptance(acceptances, 'code'), (token) => token === end)
}

/** What is proposed after this much of the reply. */
function after(predicted: readonly number[], reply: readonly number[]): readonly number[] | undefined {
  return predict(predicted).propose({ tokens: [100, 101, ...reply], committed: 2 + reply.length, prompt: 2 })?.tokens
}

const text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]

test('before the reply begins, its beginning is proposed', () => {
  assert.deepEqual(after(text, []), [1, 2, 3, 4, 5, 6, 7, 8])
})

test('while the reply follows, the next tokens are proposed, to the end and not beyond it', () => {
  assert.deepEqual(after(text, text.slice(0, 5)), [6, 7, 8, 9, 10, 11, 12, 13])
  assert.deepEqual(after(text, text.slice(0, 18)), [19, 20])
  assert.equal(after(text, text), undefined)
  assert.equal(after(text, [...text, 50, 51]), undefined)
  assert.equal(after([], []), undefined)
})

test('a replaced token costs one token', () => {
  assert.deepEqual(after(text, [1, 2, 3, 4, 50])?.slice(0, 3), [6, 7, 8])
})

test('after an insertion the reply is found again by its next token', () => {
  assert.deepEqual(after(text, [1, 2, 3, 4, 50, 51, 52, 5])?.slice(0, 3), [6, 7, 8])
})

test('after a deletion, short or long, the reply is found again by its next token', () => {
  assert.deepEqual(after(text, [1, 2, 3, 4, 9])?.slice(0, 3), [10, 11, 12])
  const long = Array.from({ length: 300 }, (_, i) => i)
  // Far ahead two tokens are needed.
  assert.deepEqual(after(long, [1, 2, 3, 4, 250, 251])?.slice(0, 3), [252, 253, 254])
})

test('a place near by needs less evidence than one far away', () => {
  const predicted = [1, 2, 3, 4, 5, 6, ...text.map((token) => 100 + token), 70, 5, 80, 81]
  // `70 5` stands further away, `5` alone is where the text would go on.
  assert.deepEqual(after(predicted, [1, 2, 3, 4, 70, 5])?.slice(0, 1), [6])
})

test('of several places the one with more tokens in common counts, however far', () => {
  assert.deepEqual(after([1, 2, 13, 9, 5, 40, 13, 5, 41], [1, 2, 70, 13, 5]), [41])
  const filler = text.map((token) => 200 + token)
  const predicted = [60, 61, 62, 63, 64, 80, 81, 82, ...filler, 60, 61, 62, 63, 64, 81, 90]
  assert.deepEqual(after(predicted, [60, 61, 62, 63, 64, 81]), [90])
})

test('two tokens that agree by chance do not lose the place', () => {
  assert.deepEqual(after(text, [1, 2, 3, 4, 50, 8, 9, 51, 5])?.slice(0, 3), [6, 7, 8])
})

test('the prompt is no part of the reply', () => {
  // The text ends with what the prompt ended with and the reply's first token.
  assert.deepEqual(after([...text, 100, 101, 70, 71], [70])?.[0], 2)
})

test('a part that moved to the front is found by three tokens, and so is the way back', () => {
  assert.deepEqual(after(text, [10, 11, 12])?.slice(0, 3), [13, 14, 15])
  assert.deepEqual(after(text, [10, 11, 12, 13, 1, 2])?.slice(0, 3), [3, 4, 5])
})

test('a token that ends a reply, and what follows it, is never proposed', () => {
  assert.deepEqual(after([1, 2, end, 4], [1]), [2])
  assert.equal(after([1, 2, end, 4], [1, 2]), undefined)
})

/** Plain verification: drafts are compared with the reply, then one token is decided. */
function run(prediction: Prediction, reply: readonly number[]): { steps: number; proposed: number; right: number } {
  const sum = { steps: 0, proposed: 0, right: 0 }
  for (let done = 0; done < reply.length; done++) {
    sum.steps++
    const draft = prediction.propose({ tokens: [7, ...reply], committed: 1 + done, prompt: 1 })
    if (draft === undefined) continue
    let right = 0
    while (right < draft.tokens.length && draft.tokens[right] === reply[done + right]) right++
    prediction.learn(draft, draft.tokens.length, right)
    sum.proposed += draft.tokens.length
    sum.right += right
    done += right
  }
  return sum
}

interface Edit {
  at: number
  remove: number
  insert: number[]
}

/** Edits of a text from back to front. Inserted tokens are new ones. */
function apply(text: readonly number[], edits: readonly Edit[]): number[] {
  const result = [...text]
  for (const { at, remove, insert } of [...edits].sort((a, b) => b.at - a.at)) {
    result.splice(at % (text.length + 1), remove, ...insert.map((token) => 10_000 + token))
  }
  return result
}

const edits = fc.array(
  fc.record({ at: fc.nat(500), remove: fc.nat(20), insert: fc.array(fc.nat(9000), { maxLength: 12 }) }),
  { maxLength: 6 },
)

test('an edited text costs its new tokens, and a few steps per edit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 500 }), edits, (length, edits) => {
      const predicted = Array.from({ length }, (_, i) => i)
      const reply = apply(predicted, edits)
      const { steps } = run(predict(predicted), reply)
      const added = reply.filter((token) => token >= 10_000).length
      const least = Math.ceil(reply.length / (maxDraft + 1))
      assert.ok(steps <= least + added + 4 * (edits.length + 1), `${steps} steps`)
    }),
    { numRuns: 1000 },
  )
})

test('whatever the reply is, a draft is a part of the prediction', () => {
  const tokens = fc.array(fc.nat(3), { maxLength: 60 })
  fc.assert(
    fc.property(tokens, tokens, (predicted, reply) => {
      const prediction = predict(predicted)
      for (let committed = 1; committed <= reply.length + 1; committed++) {
        const draft = prediction.propose({ tokens: [0, ...reply], committed, prompt: 1 })
        if (draft === undefined) continue
        assert.ok(draft.tokens.length > 0 && draft.tokens.length <= maxDraft)
        assert.equal(draft.tokens.length, draft.confidences.length)
        assert.ok(`,${predicted.join()},`.includes(`,${draft.tokens.join()},`))
      }
    }),
    { numRuns: 1000 },
  )
})

test('an unchanged text is proposed entirely, and confidence follows', () => {
  const acceptances = new Acceptances()
  const predicted = Array.from({ length: 900 }, (_, i) => i % 97)
  assert.deepEqual(run(predict(predicted, acceptances), predicted), { steps: 100, proposed: 800, right: 800 })
  const sure = predict(predicted, acceptances).propose({
    tokens: [7, ...predicted.slice(0, 50)],
    committed: 51,
    prompt: 1,
  })!
  assert.ok(sure.confidences.every((confidence) => confidence > 0.97))
})

test('a prediction that has nothing to do with the reply is soon not believed', () => {
  const acceptances = new Acceptances()
  const reply = Array.from({ length: 200 }, (_, i) => 1000 + i)
  const prediction = predict(
    Array.from({ length: 400 }, (_, i) => i),
    acceptances,
  )
  run(prediction, reply)
  const again = predict(text, acceptances)
  const draft = again.propose({ tokens: [7, 50, 51], committed: 3, prompt: 1 })
  assert.ok(draft === undefined || draft.confidences[0]! < 0.05)
})

test('how replies begin and how they go on is judged apart', () => {
  const acceptances = new Acceptances()
  const prediction = predict(text, acceptances)
  const start = prediction.propose({ tokens: [7], committed: 1, prompt: 1 })!
  for (let i = 0; i < 60; i++) prediction.learn(start, 8, 0)
  const confidence = (committed: number, tokens: readonly number[]) =>
    predict(text, acceptances).propose({ tokens, committed, prompt: 1 })!.confidences[0]!
  const before = predict(text).propose({ tokens: [7, 50], committed: 2, prompt: 1 })!.confidences[0]!
  assert.ok(confidence(1, [7]) < 0.05)
  assert.equal(confidence(2, [7, 50]), before)
})

test('searching a long prediction of few words takes microseconds', () => {
  const predicted = Array.from({ length: 8192 }, (_, i) => (i * 7919) % 61)
  const reply = Array.from({ length: 2000 }, (_, i) => (i * 104729) % 67)
  const prediction = predict(predicted)
  const start = performance.now()
  for (let committed = 1; committed <= 2001; committed++)
    prediction.propose({ tokens: [0, ...reply], committed, prompt: 1 })
  assert.ok((performance.now() - start) / 2000 < 1, 'a millisecond would be a token of a fast model')
})

test('the field is text or parts of text', () => {
  assert.equal(predictedText({ type: 'content', content: 'let a = 1' }), 'let a = 1')
  const content = [
    { type: 'text', text: 'let a' },
    { type: 'text', text: ' = 1' },
  ] as const
  assert.equal(predictedText({ type: 'content', content }), 'let a = 1')
})
