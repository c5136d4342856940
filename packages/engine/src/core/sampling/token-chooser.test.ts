import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RuledState, type Rules } from '../../../test/fixtures/constraints.ts'
import { replay } from '../../../test/replay.ts'
import { IncipitError } from '../../api/errors.ts'
import type { ReplyText } from './reply-text.ts'
import { CallerFault, TokenChooser, type TokenChooserOptions } from './token-chooser.ts'
import { allows, maskOf } from './token-mask.ts'

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }
const vocabulary = 6

function chooser(options: Partial<TokenChooserOptions> = {}): TokenChooser {
  return new TokenChooser({ sampling: greedy, prompt: [0], ...options })
}

/** A reply that is committed as a whole, or up to `committed`. */
function reply(tokens: readonly number[] = [], committed = tokens.length): ReplyText {
  return { tokens, start: 0, end: tokens.length, committed }
}

const row = (...logits: number[]) => Float32Array.from(logits)

describe('what changes logits', () => {
  it('a bias, up and down', () => {
    const bias = (token: number, value: number) => chooser({ logitBias: new Map([[token, value]]) })
    assert.equal(bias(2, 3).choose(row(1, 2, 0), reply()).token, 2)
    assert.equal(bias(1, -100).choose(row(1, 2, 0), reply()).token, 0)
  })

  it('a frequency penalty, for every time that the reply has a token', () => {
    const once = chooser({ penalties: { frequency: 0.6, presence: 0, repetition: 1 } })
    assert.equal(once.choose(row(1, 2), reply([1])).token, 1, '2 - 0.6')
    assert.equal(once.choose(row(1, 2), reply([1, 1])).token, 0, '2 - 1.2')
  })

  it('a presence penalty, once', () => {
    const one = chooser({ penalties: { frequency: 0, presence: 0.9, repetition: 1 } })
    assert.equal(one.choose(row(1, 2), reply([1, 1, 1])).token, 1)
    assert.equal(one.choose(row(1.2, 2), reply([1])).token, 0)
  })

  it('neither counts the prompt', () => {
    const penalties = { frequency: 2, presence: 2, repetition: 1 }
    assert.equal(chooser({ prompt: [1, 1], penalties }).choose(row(1, 2), reply()).token, 1)
  })

  it('a repetition penalty: of prompt and reply, dividing what is positive and multiplying what is not', () => {
    const penalties = { frequency: 0, presence: 0, repetition: 2 }
    const repeated = chooser({ prompt: [0], penalties })
    assert.equal(repeated.choose(row(3, 2), reply()).token, 1, '3 / 2 against 2')
    assert.equal(repeated.choose(row(-2, -3), reply()).token, 1, '-4 against -3')
    assert.equal(repeated.choose(row(3, 2), reply([1])).token, 0, 'both halved')
  })

  it('penalties with a window: of the last tokens of prompt and reply alike', () => {
    const recently = (window: number, frequency: number, repetition: number, prompt: number[], tokens: number[]) => {
      const penalties = { frequency, presence: 0, repetition, window }
      return chooser({ prompt, penalties }).choose(row(1, 2, 1.5), reply(tokens)).token
    }
    assert.equal(recently(1, 0.6, 1, [1], []), 2, 'the prompt counts')
    assert.equal(recently(1, 0.6, 1, [1], [0]), 1, 'it is out of sight')
    assert.equal(recently(2, 0.6, 1, [1], [0]), 2)
    assert.equal(recently(2, 0.9, 1, [1, 1], [2]), 1, '1.1 and 0.6 against 1: once each')
    assert.equal(recently(3, 0.9, 1, [1, 1], [2]), 0, '0.2 and 0.6 against 1')
    assert.equal(recently(1, 0, 2, [1], []), 2)
    assert.equal(recently(1, 0, 2, [1], [0]), 1)
    assert.equal(recently(Number.MAX_SAFE_INTEGER, 0, 2, [1], [0]), 2)
  })

  it('the end is not chosen before the reply has its least tokens, unless nothing else may follow', () => {
    const options = { minTokens: 2, endTokens: [1] }
    assert.equal(chooser(options).choose(row(1, 5, 0), reply([0])).token, 0)
    assert.equal(chooser(options).choose(row(1, 5, 0), reply([0, 0])).token, 1)
    const rules: Rules = { allowed: () => maskOf([1], 3), forced: () => [1] }
    assert.equal(chooser({ ...options, constraint: new RuledState(rules) }).choose(row(1, 5, 0), reply()).token, 1)
  })
})

describe('what is told beside the token', () => {
  it('its probability, greedy and sampled', () => {
    const probability = Math.exp(2) / (Math.exp(2) + 2)
    const wanted = { probability: true }
    assert.ok(Math.abs(chooser().choose(row(2, 0, 0), reply(), wanted).probability! - probability) < 1e-6)
    const hot = chooser({ sampling: { ...greedy, temperature: 50, seed: 3 } })
    const seen = new Set<number>()
    for (let i = 0; i < 40; i++) {
      const choice = hot.choose(row(2, 0, 0), reply(new Array<number>(i).fill(0)), wanted)
      seen.add(choice.token)
      assert.ok(Math.abs(choice.probability! - (choice.token === 0 ? probability : (1 - probability) / 2)) < 1e-6)
    }
    assert.equal(seen.size, 3)
  })

  it('log-probabilities of the full model, untouched by constraint, bias and penalties', () => {
    const rules: Rules = { allowed: () => maskOf([1, 2], 3), forced: () => [] }
    const one = chooser({
      constraint: new RuledState(rules),
      logitBias: new Map([[2, 50]]),
      penalties: { frequency: 2, presence: 2, repetition: 3 },
      logprobs: 2,
    })
    const { token, logprobs } = one.choose(row(3, 1, 2), reply([2]), { logprobs: true })
    const sum = Math.log(Math.exp(3) + Math.exp(1) + Math.exp(2))
    assert.equal(token, 2)
    assert.ok(Math.abs(logprobs!.logprob - (2 - sum)) < 1e-6)
    assert.deepEqual(
      logprobs!.top.map(({ token }) => token),
      [0, 2],
    )
    assert.ok(Math.abs(logprobs!.top[0]!.logprob - (3 - sum)) < 1e-6)
  })

  it('no log-probabilities where nobody asks for them', () => {
    assert.equal(chooser().choose(row(1, 2), reply(), { logprobs: true }).logprobs, undefined)
    assert.equal(chooser({ logprobs: 1 }).choose(row(1, 2), reply()).logprobs, undefined)
  })

  it('a token that is tolerated', () => {
    const tolerate = (token: number, alpha: number) =>
      chooser().choose(row(1, 0.5, -3), reply(), { tolerate: { token, alpha } })
    assert.deepEqual(tolerate(1, 0.6), { token: 1, tolerated: true })
    assert.deepEqual(tolerate(1, 0.61), { token: 0 })
    assert.deepEqual(tolerate(0, 0.5), { token: 0 })
  })
})

describe('a constraint', () => {
  /** Tokens rise by one or two, from 0; after 5 comes 0. */
  const rising: Rules = {
    allowed: (reply) => {
      const last = reply.at(-1) ?? -1
      return maskOf([(last + 1) % vocabulary, (last + 2) % vocabulary], vocabulary)
    },
    forced: (reply) => (reply.length === 0 ? [0, 1] : []),
  }

  it('rules every choice', () => {
    const one = chooser({ constraint: new RuledState(rising) })
    assert.equal(one.choose(row(0, 0, 9, 9, 9, 9), reply([0])).token, 2)
    assert.equal(one.choose(row(9, 9, 9, 0, 1, 9), reply([0, 2])).token, 4)
  })

  it('chooses the same where single tokens can be checked without a mask', () => {
    class Checking extends RuledState {
      allowedLength([token]: readonly number[]): number {
        return allows(this.mask(), token!) ? 1 : 0
      }
    }
    const logits = fc.array(fc.constantFrom(Number.NEGATIVE_INFINITY, -1, 0, 0.5, 2), {
      minLength: vocabulary,
      maxLength: vocabulary,
    })
    const allowed = fc.uniqueArray(fc.nat(vocabulary - 1), { minLength: 1 })
    const sampling = fc.record({
      temperature: fc.constantFrom(0, 1),
      topP: fc.constantFrom(1, 0.6),
      topK: fc.constantFrom(0, 2),
      minP: fc.constantFrom(0, 0.3),
      seed: fc.nat(9),
    })
    const more = fc.constantFrom({}, { logitBias: new Map([[1, -1]]) }, { logprobs: 2 })
    const wanted = fc.constantFrom({ logprobs: true }, { probability: true }, { others: 2 })
    fc.assert(
      fc.property(logits, allowed, sampling, more, wanted, (logits, allowed, sampling, more, wanted) => {
        const rules: Rules = { allowed: () => maskOf(allowed, vocabulary), forced: () => [] }
        const choice = (constraint: RuledState) =>
          chooser({ ...more, sampling, constraint }).choose(row(...logits), reply(), wanted)
        assert.deepEqual(choice(new Checking(rules)), choice(new RuledState(rules)))
      }),
      { numRuns: 2000, ...replay },
    )
  })

  it('says how much of a draft it allows, and what it forces', () => {
    const one = chooser({ constraint: new RuledState(rising) })
    assert.equal(one.allowedLength([1, 3, 4, 4], reply([0])), 3)
    assert.equal(one.allowedLength([4], reply([0])), 0)
    assert.deepEqual(one.forced(reply()), [0, 1])
    assert.equal(chooser().allowedLength([4, 4], reply()), 2)
    assert.deepEqual(chooser().forced(reply()), [])
  })

  it('that throws is the fault of its caller', () => {
    const fails = () => {
      throw new Error('out of ideas')
    }
    const rules = { allowed: fails, forced: fails }
    const one = chooser({ constraint: new RuledState(rules) })
    const fault = (error: unknown) => {
      assert.ok(error instanceof CallerFault && error.cause instanceof IncipitError)
      const { code, message } = error.cause
      return code === 'constraint_failed' && message.endsWith('out of ideas')
    }
    assert.throws(() => one.choose(row(1, 2), reply()), fault)
    assert.throws(() => one.allowedLength([1], reply()), fault)
    assert.throws(() => one.forced(reply()), fault)
  })

  it('gives the same tokens in whatever order places are asked about, with guesses before them or not', () => {
    const logits = (place: number) =>
      Float32Array.from({ length: vocabulary }, (_, t) => Math.sin(7 * place + 3 * t) * 2)
    const options = {
      constraint: undefined,
      prompt: [0, 4],
      logitBias: new Map([[3, 0.5]]),
    }
    const windows = fc.constantFrom({}, { window: 1 }, { window: 3 }, { window: 5 })
    const walk = fc.array(fc.record({ back: fc.nat(4), guesses: fc.array(fc.nat(5), { maxLength: 4 }) }), {
      maxLength: 20,
    })
    fc.assert(
      fc.property(walk, fc.constantFrom(0, 0.9), windows, (steps, temperature, window) => {
        const penalties = { frequency: 0.3, presence: 0.2, repetition: 1.2, ...window }
        const sampling = { ...greedy, temperature, seed: 5 }
        const fresh = () => chooser({ ...options, sampling, penalties, constraint: new RuledState(rising) })
        const used = fresh()
        const committed: number[] = []
        for (const { back, guesses } of steps) {
          // What was guessed before comes to nothing, and is asked about again from further back.
          const length = used.allowedLength(guesses, reply(committed))
          const text = [...committed, ...guesses.slice(0, length)]
          for (let end = text.length; end >= Math.max(0, committed.length - back); end--) {
            const place = { tokens: text, start: 0, end, committed: Math.min(end, committed.length) }
            const { token } = fresh().choose(logits(end), place)
            assert.equal(used.choose(logits(end), place).token, token)
          }
          committed.push(used.choose(logits(committed.length), reply(committed)).token)
        }
      }),
      { numRuns: 300, ...replay },
    )
  })
})
