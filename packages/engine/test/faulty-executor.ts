import assert from 'node:assert/strict'
import type { DraftModel, EndedStep, Executor, OutputRow, Place } from '../src/core/executor.ts'
import { type ChosenLogprobs, logprobsOf } from '../src/core/sampling/logprobs.ts'
import type { Choice, TokenChooser, Wanted } from '../src/core/sampling/token-chooser.ts'
import { rowsOf, type Step } from '../src/core/sequences/sequence.ts'
import type { Fate, Schedule } from './schedule.ts'
import type { ScheduledRequest } from './scheduled-request.ts'
import { logitsOf, type SequentialModel } from './simulated-model.ts'
import type { SimulatedStages } from './simulation.ts'

/** Who wants to know what happens in an executor. */
export interface ExecutorHost {
  /** Time goes on while steps run. */
  readonly meanwhile: () => void
  /** Takes so many milliseconds. */
  readonly took: (ms: number) => void
  /** A step fails with this error, or with an error of this code. */
  readonly failing: (step: Step, cause: unknown) => void
  /** The request whose tokens are chosen so. */
  readonly requestOf: (chooser: TokenChooser) => ScheduledRequest
}

// A step that is aborted over and over never ends.
const mostAborts = 30

/**
 * Runs steps on a model without weights, in overlapping order, and not always to their end: the schedule picks which step
 * ends next, and which of them are aborted or fail. It checks that whatever is read is what sequential decoding gives.
 */
export class FaultyExecutor implements Executor {
  readonly caches: SimulatedStages
  readonly draftModel: DraftModel | undefined
  readonly #schedule: Schedule
  readonly #model: SequentialModel
  readonly #host: ExecutorHost
  readonly #running: Step[] = []
  /** Steps that somebody wants stopped. */
  readonly #unwanted = new Set<Step>()
  /** Steps that ended, those that somebody stopped, and those that ran beside others. */
  steps = 0
  stopped = 0
  overlapped = 0
  #aborts = 0

  constructor(
    schedule: Schedule,
    parts: { caches: SimulatedStages; draftModel: DraftModel | undefined; model: SequentialModel; host: ExecutorHost },
  ) {
    this.#schedule = schedule
    this.caches = parts.caches
    this.draftModel = parts.draftModel
    this.#model = parts.model
    this.#host = parts.host
  }

  run(step: Step): void {
    const { devices } = this.#schedule
    const device = devices[step.stage]
    assert.ok(!this.#running.some(({ stage }) => devices[stage] === device), 'two steps of a device at once')
    this.caches.begin(step)
    this.#running.push(step)
    if (this.#running.length > 1) this.overlapped++
  }

  abort(stage: number): void {
    for (const step of this.#running) if (step.stage === stage) this.#unwanted.add(step)
  }

  /** Steps that run, and that nobody wants stopped. */
  get wanted(): readonly Step[] {
    return this.#running.filter((step) => !this.#unwanted.has(step))
  }

  async ended(): Promise<EndedStep> {
    assert.ok(this.#running.length > 0, 'nothing runs that could end')
    this.#host.meanwhile()
    const { fates, failures, cost } = this.#schedule
    const fate = fates[this.steps % fates.length]!
    const failure = failures.find(({ step }) => step === this.steps)
    this.steps++
    const [step] = this.#running.splice(fate.pick % this.#running.length, 1) as [Step]
    const ms = cost.fixed + cost.row * rowsOf(step)
    this.#host.took(ms)
    const ended = { step, ms, measured: true }
    if (failure) {
      this.caches.end(step, fate.aborted ?? 0)
      if (failure.result === 'full') {
        this.#host.failing(step, 'decode_failed')
        return { ...ended, result: 'full' }
      }
      const error = new Error('a step failed')
      this.#host.failing(step, error)
      return { ...ended, result: 'failed', failure: error }
    }
    const rows = this.#abortedAfter(step, fate)
    this.caches.end(step, rows)
    return { ...ended, result: rows === undefined ? 'done' : 'aborted' }
  }

  /** After how many rows a step is aborted, if it is. */
  #abortedAfter(step: Step, { aborted, done, pick }: Fate): number | undefined {
    const unwanted = this.#unwanted.delete(step) && !done
    if (unwanted) this.stopped++
    if (unwanted) return aborted ?? pick
    return aborted === undefined || this.#aborts++ >= mostAborts ? undefined : aborted
  }

  storeHiddenStates(step: Step): void {
    this.caches.settle(step)
  }

  choose(place: Place, chooser: TokenChooser, wanted?: Wanted): Choice {
    const { step, rows, index, reply } = place
    const { stage } = step
    const { sequence } = rows
    const request = this.#host.requestOf(chooser)
    const own = sequence.parent ?? sequence
    assert.equal(request.active?.sequence, own, 'a token is chosen for another request')
    // Rows of an alternative that won in this step are its parent's.
    const { tokens, prompt } = sequence.kind === 'alternative' ? own : sequence
    assert.equal(reply.tokens, tokens, 'a token is chosen to follow another reply')
    assert.equal(reply.end, index + 1, 'a token is chosen to follow another one than the row is of')
    assert.equal(reply.start, prompt, 'a reply begins elsewhere than its prompt ends')
    const row = this.caches.output(stage, rows.slot, index)
    assert.notEqual(row, undefined, `row ${index} of stage ${stage} decides a token, but has no output`)
    assert.equal(row, this.#model.rowsAfter(tokens, reply.end)[stage], 'a row saw another prefix')
    if (sequence.kind === 'lookahead') return this.#guess(place, request, wanted)
    const decides = stage === this.caches.stages - 1
    const choice = decides ? chooser.choose(logitsOf(row!), reply, wanted) : this.#guess(place, request, wanted)
    const at = reply.end - reply.start
    request.chosen[at] ??= new Set()
    request.chosen[at].add(choice.token)
    return choice
  }

  score({ step, rows, index }: OutputRow, token: number, count: number): ChosenLogprobs {
    const row = this.caches.output(step.stage, rows.slot, index)
    assert.notEqual(row, undefined, `row ${index} scores a token, but has no output`)
    const { tokens } = rows.sequence
    assert.equal(row, this.#model.rowsAfter(tokens, index + 1).at(-1), 'a row saw another prefix')
    assert.equal(tokens[index + 1], token, 'another token is scored than the one after the row')
    return logprobsOf(logitsOf(row!), token, count)
  }

  /** A head sees the reply's next token among the likeliest ones, wherever the schedule says. */
  #guess({ reply }: Place, { plan, nextHead }: ScheduledRequest, wanted?: Wanted): Choice {
    const { rank = 0, probability = 1 } = nextHead() ?? {}
    const { prompt, chooser } = plan
    const logits = this.#model.logitsAfter([...prompt, ...reply.tokens.slice(reply.start, reply.end)])
    if (rank > 0) {
      const { token } = chooser.choose(logits.slice(), reply)
      const others = [...logits].filter((_, other) => other !== token).sort((a, b) => b - a)
      logits[token] = others[rank - 1]! - 0.01
    }
    return { ...chooser.choose(logits, reply, wanted), probability }
  }
}
