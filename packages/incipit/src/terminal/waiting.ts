import pc from 'picocolors'
import { fit, Layout } from './layout.ts'

const eraseLine = '\r\u{1b}[K'

/** Says dim what one waits for, in a line that is empty again afterwards. Without a terminal nothing is said. */
export async function whileWaiting<T>(what: string, work: () => Promise<T>): Promise<T> {
  const { stdout } = process
  if (!stdout.isTTY || process.env.TERM === 'dumb') return work()
  // A row that wraps could not be erased.
  const room = new Layout(stdout.columns - 3)
  stdout.write(pc.dim(`${fit(room, what, 0).text} …`))
  try {
    return await work()
  } finally {
    stdout.write(eraseLine)
  }
}
