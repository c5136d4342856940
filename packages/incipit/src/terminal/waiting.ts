import pc from 'picocolors'

const eraseLine = '\r\u{1b}[K'

/** Says dim what one waits for, in a line that is empty again afterwards. Without a terminal nothing is said. */
export async function whileWaiting<T>(what: string, work: () => Promise<T>): Promise<T> {
  const { stdout } = process
  if (!stdout.isTTY || process.env.TERM === 'dumb') return work()
  stdout.write(pc.dim(`${what} …`))
  try {
    return await work()
  } finally {
    stdout.write(eraseLine)
  }
}
