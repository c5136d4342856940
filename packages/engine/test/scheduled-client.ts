import assert from 'node:assert/strict'
import { RevisableText } from '../../client/src/revisable-text.ts'
import type { DoneEvent, GenerateEvent, PromptToken } from '../src/api/events.ts'
import type { ReplySink } from '../src/serving/reply-stream.ts'

/** What a client lives in: it may be in the way of those who call it, and never knows. */
export interface CallersCode {
  /** Code of a caller runs: what else is due may happen meanwhile. */
  readonly called: () => void
  /** Looks for what is wrong. What it throws fails the test, not the request. */
  readonly verify: (check: () => void) => void
}

/** At which of its events a reader throws, and at which it cancels the reply. */
interface ReaderPlan {
  readonly throwsAt: number | undefined
  readonly cancelsAt: number | undefined
  readonly cancel: () => void
}

/** Reads one reply, as a real client puts it together, and checks every event. */
export class ScheduledClient implements ReplySink {
  readonly text = new RevisableText()
  /** Tokens that deltas told of, and which of them had their probabilities told. */
  tokens = 0
  readonly logprobs: number[] = []
  /** What was told of the prompt. */
  readonly prompt: PromptToken[] = []
  done: DoneEvent | undefined
  closed: { readonly error: unknown } | undefined
  /** What it threw, when it did. */
  threw: Error | undefined
  readonly #code: CallersCode
  readonly #does: ReaderPlan
  #rev = 0
  #events = 0

  constructor(code: CallersCode, does: ReaderPlan) {
    this.#code = code
    this.#does = does
  }

  push(event: GenerateEvent): void {
    this.#code.verify(() => this.#take(event))
    this.#call()
  }

  close(error?: unknown): void {
    this.#code.verify(() => {
      assert.equal(this.closed, undefined, 'a reply is closed twice')
      assert.equal(this.done === undefined, error !== undefined, 'a reply ends with its last event, or with an error')
    })
    this.closed = { error }
    this.#call()
  }

  #call(): void {
    const { throwsAt, cancelsAt, cancel } = this.#does
    const event = this.#events++
    this.#code.called()
    if (event === cancelsAt) this.#code.verify(cancel)
    if (event !== throwsAt) return
    this.threw = new Error('the reader of a reply threw')
    throw this.threw
  }

  #take(event: GenerateEvent): void {
    assert.equal(this.done, undefined, `a ${event.type} event after the last one`)
    assert.equal(this.closed, undefined, `a ${event.type} event after the end`)
    const { text } = this
    if (event.type === 'done') {
      assert.equal(text.provisional, '', 'a reply ends with a tail')
      this.done = event
      return
    }
    if (event.type === 'prompt') {
      assert.equal(event.from, this.prompt.length, 'tokens of the prompt are told twice, or not at all')
      this.prompt.push(...event.tokens)
      return
    }
    if (event.type === 'delta') {
      assert.notEqual(event.text, '')
      this.tokens += event.tokens
      this.logprobs.push(...(event.logprobs ?? []).map(({ token }) => token))
      text.commit(event.text)
      return
    }
    assert.ok(event.type === 'provisional')
    assert.equal(event.rev, ++this.#rev, 'an event is missing')
    assert.equal(event.base, text.committed.length, 'a tail that does not follow the committed text')
    assert.ok(event.text !== text.provisional, 'a tail is said twice')
    assert.ok(event.stability >= 0 && event.stability <= 1)
    assert.equal(event.text === '', event.tokens === 0)
    text.revise(event)
  }
}
