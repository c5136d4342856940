import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { bytes } from '../models/progress.ts'
import type { Row } from './row.ts'

/** The machine and what of it this process may use. */
export function machineRows(): Row[] {
  const { platform, arch, version, execPath } = process
  const all = cpus()
  const usable = availableParallelism()
  const limit = process.constrainedMemory()
  const limited = limit > 0 && limit < totalmem() ? `, of which this process may use ${bytes(limit)}` : ''
  const threads = process.env.INCIPIT_THREADS ? `INCIPIT_THREADS=${process.env.INCIPIT_THREADS}` : 'all cores'
  return [
    ['node', `${version} (${execPath})`],
    ['system', `${platform} ${release()}, ${arch}`],
    ['cpu', `${all[0]?.model.trim() ?? 'unknown'}, ${all.length} cores, ${usable} for this process`],
    ['threads', `${threads}, unless --threads says otherwise`],
    ['memory', `${bytes(totalmem())}${limited}; ${bytes(process.availableMemory())} available now`],
  ]
}
