/**
 * Ends a command on Ctrl-C, SIGTERM or a reader that went away, in two steps: `signal` asks the work to stop, and when
 * the process is still there after `graceMs`, `restore` runs and it ends without waiting for anybody.
 */
export interface Interrupt extends Disposable {
  /** Aborted by the first interruption. */
  readonly signal: AbortSignal
  /** 130 after SIGINT, 143 after SIGTERM, 0 after a closed pipe; undefined without an interruption. */
  readonly exitCode: number | undefined
}

/** Stopping must take under 100 ms; a decode that is aborted takes about 10. */
const graceMs = 85

/**
 * Only for work that JavaScript waits for. While native code loads a model the signals are better left to their default,
 * which ends the process at once: leaving it by `process.exit` would wait for that code.
 */
export function interruptible(stdout: NodeJS.WriteStream, restore: () => void): Interrupt {
  const controller = new AbortController()
  let exitCode: number | undefined
  const stop = (code: number, end: () => void) => {
    if (exitCode !== undefined) return
    exitCode = code
    setTimeout(() => {
      restore()
      end()
    }, graceMs).unref()
    controller.abort()
  }
  const interrupt = () => stop(130, () => dieOf('SIGINT'))
  const terminate = () => stop(143, () => dieOf('SIGTERM'))
  // The reader of our output ended (`| head`): there is nobody left to tell, so it is no failure.
  const pipe = (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') stop(0, () => process.exit(0))
  }
  const leave = () => process.off('SIGINT', interrupt).off('SIGTERM', terminate)
  const dieOf = (signal: NodeJS.Signals) => {
    leave()
    process.kill(process.pid, signal)
  }
  process.on('SIGINT', interrupt).on('SIGTERM', terminate)
  stdout.on('error', pipe)
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
    // The listener for a broken pipe stays: what is still buffered may break later.
    [Symbol.dispose]: leave,
  }
}
