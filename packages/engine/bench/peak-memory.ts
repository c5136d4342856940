import { readdirSync, readFileSync } from 'node:fs'

/** The most that a process and its children have held in memory, in bytes, each at its own peak (Linux). */
export function peakMemory(pid: number): number {
  const own = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  )
  return children.reduce((sum, child) => sum + peakMemory(Number(child)), 1024 * Number(own?.[1] ?? 0))
}
