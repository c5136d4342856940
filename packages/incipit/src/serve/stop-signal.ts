// On Windows nobody sends SIGTERM: there a console has Ctrl-C, Ctrl-Break and its end.
const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']
/** Under a wrapper one Ctrl-C may arrive twice; only a later one means impatience. */
const impatientMs = 500

/**
 * Resolves at the first signal that asks this process to stop. At a later one it ends at once, with code 0, and with it
 * whatever process it has started.
 * @param atOnce called at the first signal
 */
export function stopSignal(atOnce: () => void): Promise<void> {
  return new Promise((resolve) => {
    let since: number | undefined
    const stop = () => {
      if (since === undefined) {
        since = performance.now()
        atOnce()
        resolve()
      } else if (performance.now() - since > impatientMs) process.exit(0)
    }
    for (const signal of signals) process.on(signal, stop)
  })
}
