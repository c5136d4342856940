import type { ModelGuest } from '../model-directory.ts'

/** What a guest needs of the place where its worker is. */
interface Host {
  /** One more uses the worker. The returned function takes that back. */
  claim(): () => void
}

/** Somebody who is connected to a worker and uses it now and then. In between it may be unloaded, and then the guest leaves. */
export class SlotGuest implements ModelGuest {
  readonly #host: Host
  readonly #leave: () => void
  readonly #ended: () => void
  readonly #uses = new Set<() => void>()
  #dismissed = false

  /**
   * @param leave called once, when it was dismissed and does not use the worker
   * @param ended it is no guest any more
   */
  constructor(host: Host, leave: () => void, ended: () => void) {
    this.#host = host
    this.#leave = leave
    this.#ended = ended
  }

  use(): () => void {
    const release = this.#host.claim()
    this.#uses.add(release)
    return () => {
      release()
      if (this.#uses.delete(release)) this.#leaveIfDone()
    }
  }

  /** The worker is to be unloaded. */
  dismiss(): void {
    this.#dismissed = true
    this.#leaveIfDone()
  }

  /** The guest is gone, and uses nothing. */
  end(): void {
    this.#ended()
    for (const release of this.#uses) release()
    this.#uses.clear()
    this.#dismissed = false
  }

  #leaveIfDone(): void {
    if (!this.#dismissed || this.#uses.size > 0) return
    this.end()
    this.#leave()
  }
}
