import type { Labels } from './exposition.ts'

/** One thing for every combination of labels, made when it is first asked for. */
export class SeriesMap<T> {
  readonly #create: () => T
  readonly #entries = new Map<string, { readonly labels: Labels; readonly series: T }>()

  constructor(create: () => T) {
    this.#create = create
  }

  of(labels: Labels): T {
    const key = JSON.stringify(Object.values(labels))
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { labels, series: this.#create() }
      this.#entries.set(key, entry)
    }
    return entry.series
  }

  map<R>(read: (labels: Labels, series: T) => R): R[] {
    return [...this.#entries.values()].map(({ labels, series }) => read(labels, series))
  }
}
