import assert from 'node:assert/strict'
import { Loop, type LoopOptions } from '../src/serving/loop.ts'

// A driver that goes on although nothing can be done never gives anybody else a turn.
const mostIdleSteps = 20

/** The engine's loop, looked at after every step. */
export class CheckedLoop extends Loop {
  readonly #check: () => void
  /** Steps in a row in which nothing was done, and nobody disturbed it. */
  #idle = 0

  constructor(options: LoopOptions, check: () => void) {
    super(options)
    this.#check = check
  }

  override step(): Promise<boolean> {
    return super.step().then((more) => {
      this.#check()
      this.#idle = more ? 0 : this.#idle + 1
      assert.ok(this.#idle < mostIdleSteps, 'the loop is run over and over, although nothing is to be done')
      return more
    })
  }

  /** Something happened: there may be something to do again. */
  disturbed(): void {
    this.#idle = 0
  }
}
