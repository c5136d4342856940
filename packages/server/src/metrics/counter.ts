import type { Family, FamilyHead, Labels } from './exposition.ts'
import { SeriesMap } from './series-map.ts'

/** Counts, apart for every combination of labels. */
export class Counter {
  readonly #head: FamilyHead
  readonly #series = new SeriesMap(() => ({ value: 0 }))

  constructor(head: FamilyHead) {
    this.#head = head
  }

  add(labels: Labels): void {
    this.#series.of(labels).value++
  }

  get family(): Family {
    return { ...this.#head, type: 'counter', samples: this.#series.map((labels, { value }) => ({ labels, value })) }
  }
}
