/** Shows how far a download has come. */
export interface Progress {
  /** `done` of the `total` bytes are on disk. */
  update(done: number, total: number): void
  /** Something worth a line, e.g. that the connection broke and is tried again. */
  note(line: string): void
  /** Ends the display; harmless when nothing was shown. */
  end(): void
}

export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const redrawMs = 100
/** Without a terminal: a line at each tenth, so that a log stays short. */
const steps = 10

/** A bar that redraws itself on a terminal, and plain lines elsewhere. */
export function createProgress(name: string, stream: ProgressStream = process.stderr): Progress {
  return stream.isTTY ? bar(name, stream) : lines(name, stream)
}

function bar(name: string, stream: ProgressStream): Progress {
  const rate = new Rate()
  let drawn = Number.NEGATIVE_INFINITY
  let open = false
  const close = () => {
    if (open) stream.write('\n')
    open = false
  }
  return {
    update(done, total) {
      rate.update(done)
      const now = performance.now()
      if (now - drawn < redrawMs && done < total) return
      drawn = now
      open = true
      const right = ` ${percent(done, total)}% ${bytes(done)} of ${bytes(total)} ${rate.text(total - done)}`
      const columns = stream.columns ?? 80
      const left = `${name} `
      const room = columns - 1 - left.length - right.length - 2
      const filled = Math.round((room * done) / Math.max(1, total))
      const gauge = room >= 5 ? `[${'#'.repeat(filled)}${'.'.repeat(room - filled)}]` : ''
      const line = `${left}${gauge}${right}`
      stream.write(`\r${line.length < columns ? line : right.trimStart().slice(0, columns - 1)}\u{1b}[K`)
    },
    note(line) {
      close()
      stream.write(`${line}\n`)
    },
    end: close,
  }
}

function lines(name: string, stream: ProgressStream): Progress {
  const rate = new Rate()
  let next = 0
  return {
    update(done, total) {
      rate.update(done)
      const step = Math.floor((done / Math.max(1, total)) * steps)
      if (step < next) return
      next = step + 1
      stream.write(`${name}: ${percent(done, total)}% (${bytes(done)} of ${bytes(total)})\n`)
    },
    note: (line) => stream.write(`${line}\n`),
    end() {},
  }
}

/** Bytes per second since the first update of this run: bytes of an earlier run were free. */
class Rate {
  #start: { time: number; done: number } | undefined
  #perSecond = 0

  update(done: number): void {
    this.#start ??= { time: performance.now(), done }
    const seconds = (performance.now() - this.#start.time) / 1000
    // The first moments measure buffers, not the line.
    if (seconds > 0.5) this.#perSecond = (done - this.#start.done) / seconds
  }

  text(remaining: number): string {
    if (this.#perSecond <= 0) return ''
    const left = Math.ceil(remaining / this.#perSecond)
    return `${bytes(this.#perSecond)}/s, ${left < 120 ? `${left} s` : `${Math.ceil(left / 60)} min`} left`
  }
}

function percent(done: number, total: number): number {
  return Math.floor((100 * done) / Math.max(1, total))
}

/** Bytes for people, in powers of 1000 as disks and networks count: `98.4 MB`. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3))
  return `${power === 0 ? Math.round(count) : (count / 1000 ** power).toFixed(1)} ${units[power]}`
}
