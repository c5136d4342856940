import { CommanderError } from 'commander'

/** The command line was wrong: exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

/** 0 for `--help` and `--version`, 2 for wrong usage, 1 for every other failure. */
export function exitCodeOf(error: unknown): number {
  // Commander ends --help and --version by an exception too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  return error instanceof UsageError ? 2 : 1
}

/**
 * Writes a failure to stderr as one line, `incipit: <message> (<code>)`, with the stack only when INCIPIT_DEBUG=1.
 * Commander has written its own messages already.
 */
export function reportFailure(error: unknown): void {
  if (error instanceof CommanderError) return
  process.stderr.write(`incipit: ${failureLine(error)}\n`)
  if (process.env.INCIPIT_DEBUG !== '1') return
  for (let cause = error; cause instanceof Error; cause = cause.cause) process.stderr.write(`${cause.stack}\n`)
}

/** A failure as one line: `<message> (<code>)`. */
export function failureLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // By shape and not by class: what Node throws has a code, too.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'internal'
  const message = error.message.replace(/\s*\n\s*/g, ' ').trim() || error.name
  return error instanceof UsageError ? message : `${message} (${code})`
}
