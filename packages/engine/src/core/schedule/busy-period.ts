// About the last twenty requests: a load lasts for minutes.
const memory = 20
// However busy it was, the next request may be the last one.
const maxLoad = 0.9

/**
 * Who waits longer when work is added now: those that wait already, and those that will come before the machine is idle
 * again. A busy period that begins with n requests serves n / (1 - load) on average (M/G/1; L. Kleinrock, Queueing
 * Systems I, 5.8), and the load is the share of requests that found others waiting: arrivals at random see what an
 * observer sees on average. Somebody who is alone and sends one request after the other has a load of nothing, however
 * busy the machine is.
 */
export class BusyPeriod {
  #load = 0

  /**
   * A request came.
   * @param others requests that waited for their first token at that moment
   */
  arrived(others: number): void {
    this.#load += (Number(others > 0) - this.#load) / memory
  }

  /** @param waiting requests that wait for their first token now */
  delayed(waiting: number): number {
    return waiting / (1 - Math.min(this.#load, maxLoad))
  }
}
