import { type Family, type FamilyHead, type Labels, number, type Sample } from './exposition.ts'
import { SeriesMap } from './series-map.ts'

/** How often values were at most so large, apart for every combination of labels. */
export class Histogram {
  readonly #head: FamilyHead
  /** Rising; the last one is infinite. */
  readonly #bounds: readonly number[]
  readonly #series: SeriesMap<{ readonly counts: number[]; sum: number }>

  /** @param bounds rising, the infinite one left out */
  constructor(head: FamilyHead, bounds: readonly number[]) {
    this.#head = head
    this.#bounds = [...bounds, Number.POSITIVE_INFINITY]
    this.#series = new SeriesMap(() => ({ counts: this.#bounds.map(() => 0), sum: 0 }))
  }

  /** @param times how often it was this value */
  observe(labels: Labels, value: number, times = 1): void {
    const series = this.#series.of(labels)
    series.counts[this.#bounds.findIndex((bound) => value <= bound)]! += times
    series.sum += value * times
  }

  get family(): Family {
    const samples = this.#series.map((labels, { counts, sum }): Sample[] => {
      let atMost = 0
      const buckets = this.#bounds.map((bound, i): Sample => {
        atMost += counts[i]!
        return { suffix: '_bucket', labels: { ...labels, le: number(bound) }, value: atMost }
      })
      return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: atMost }]
    })
    return { ...this.#head, type: 'histogram', samples: samples.flat() }
  }
}
