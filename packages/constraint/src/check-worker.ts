import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { parentPort } from 'node:worker_threads'
import type { CheckMessage, Problem } from './checks.ts'
import { ConstraintError } from './constraint-error.ts'
import { Constraints } from './constraints.ts'
import type { Declared } from './declared.ts'

// What compiles, and how long that takes, is no matter of the vocabulary: bytes and an end will do.
const constraints = new Constraints({
  size: 257,
  bytesOf: (token) => (token < 256 ? Uint8Array.of(token) : new Uint8Array()),
  isEndOfGeneration: (token) => token === 256,
})

/** This thread for the system; undefined where threads have no priorities of their own. */
const thread = process.platform === 'linux' ? Number(basename(readlinkSync('/proc/thread-self'))) : undefined

function check(declared: Declared, cpuMs: number): Problem | undefined {
  // Node 22 cannot tell it: there only the whole check is bounded.
  const before = process.threadCpuUsage?.()
  try {
    using matcher = constraints.compile(declared)
    const used = before && process.threadCpuUsage(before)
    const took = used ? (used.user + used.system) / 1000 : 0
    if (took > cpuMs) {
      return { reason: `it takes ${Math.round(took)} ms to compile; at most ${cpuMs} are allowed`, path: undefined }
    }
    // A text that cannot even begin, such as a definition in a circle.
    if (matcher.mask().every((word) => word === 0)) return { reason: 'no text fulfils it', path: undefined }
    return undefined
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    return { reason: error.reason, path: error.path }
  }
}

function tell(message: CheckMessage): void {
  parentPort!.postMessage(message)
}

parentPort!.on('message', ({ declared, cpuMs }: { declared: string; cpuMs: number }) => {
  tell({ type: 'began', ...(thread !== undefined && { thread }) })
  const problem = check(JSON.parse(declared) as Declared, cpuMs)
  tell({ type: 'checked', ...(problem && { problem }) })
})
