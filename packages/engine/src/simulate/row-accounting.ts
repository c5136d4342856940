import type { Rows } from '../core/sequences/sequence.ts'
import type { Flight } from './flight.ts'
import type { Waste } from './outcome.ts'

/** What became of every row that was run: kept, or wasted, and on what. */
export class RowAccounting {
  rows = 0
  kept = 0
  readonly waste: Waste = { drafts: 0, looks: 0, again: 0 }

  /** A flight begins with rows that somebody else computed. */
  began({ sequence, high, free }: Flight): void {
    for (const [stage, computed] of sequence!.computed.entries()) {
      free[stage]! += Math.max(0, computed - high[stage]!)
      high[stage] = Math.max(computed, high[stage]!)
    }
  }

  /** Rows of a flight ran. */
  ran({ high }: Flight, stage: number, { from, to, valid }: Rows): void {
    this.rows += to - from
    const known = high[stage]!
    this.waste.again += Math.max(0, Math.min(to, known) - from)
    // What was rolled back while it ran.
    this.waste.drafts += Math.max(0, to - Math.max(from, known, valid))
    high[stage] = Math.max(known, valid)
  }

  /** Rows of a look ran: they are dropped with it. */
  looked({ from, to }: Rows): void {
    this.rows += to - from
    this.waste.looks += to - from
  }

  /** Rows ran for a flight that is over. */
  ranForNothing({ from, to }: Rows): void {
    this.rows += to - from
    this.waste.drafts += to - from
  }

  /** Rows of a flight from `base` on are wrong. */
  rolledBack({ high }: Flight, base: number): void {
    for (const [stage, known] of high.entries()) {
      if (known <= base) continue
      this.waste.drafts += known - base
      high[stage] = base
    }
  }

  /** A flight is over: what is left of its rows was of use. */
  ended(flight: Flight): void {
    this.rolledBack(flight, flight.sequence!.committed)
    for (const [stage, known] of flight.high.entries()) this.kept += known - flight.free[stage]!
  }
}
