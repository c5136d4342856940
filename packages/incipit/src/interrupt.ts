/**
 * Ends a command on Ctrl-C, SIGTERM or a reader that went away, in two steps: `signal` asks the work to stop, and if the
 * process is still there after `graceMs`, `restore` runs and it exits without waiting for anybody.
 */
export interface Interrupt extends Disposable {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal
  /** 130 after SIGINT, 143 after SIGTERM, 0 after a closed pipe; undefined without an interruption. */
  readonly exitCode: number | undefined
}

/** Stopping must take under 100 ms; a decode that is aborted takes about 10. */
const graceMs = 70

export function interruptible(stdout: NodeJS.WriteStream, restore: () => void): Interrupt {
  const controller = new AbortController()
  let exitCode: number | undefined
  const stop = (code: number) => {
    if (exitCode !== undefined) return
    exitCode = code
    setTimeout(() => {
      restore()
      process.exit(code)
    }, graceMs).unref()
    controller.abort()
  }
  const interrupt = () => stop(130)
  const terminate = () => stop(143)
  // The reader of our output ended (`| head`): there is nobody left to tell, so it is no failure.
  const pipe = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    stop(0)
  }
  process.on('SIGINT', interrupt).on('SIGTERM', terminate)
  stdout.on('error', pipe)
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
    [Symbol.dispose]() {
      process.off('SIGINT', interrupt).off('SIGTERM', terminate)
    },
  }
}
