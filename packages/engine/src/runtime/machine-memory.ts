import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'

/** Bytes that this process may use at most: the machine's, or what its control groups allow (Linux). */
export function machineMemory(): number {
  const known = process.constrainedMemory()
  return Math.min(totalmem(), known > 0 ? known : Number.POSITIVE_INFINITY, groupLimit('/'))
}

/**
 * The least limit of this process's control groups of both versions and of all groups around them, which a limit of a
 * group itself says nothing of. Infinity without a limit.
 * @param root of the file system
 */
export function groupLimit(root: string): number {
  const limits: number[] = []
  for (const line of read(join(root, 'proc/self/cgroup')).split('\n')) {
    // hierarchy:controllers:path
    const [hierarchy, controllers, ...rest] = line.split(':')
    const path = rest.join(':')
    if (hierarchy === '0' && controllers === '')
      limits.push(...limitsUpwards(join(root, 'sys/fs/cgroup'), path, 'memory.max'))
    else if (controllers?.split(',').includes('memory')) {
      limits.push(...limitsUpwards(join(root, 'sys/fs/cgroup/memory'), path, 'memory.limit_in_bytes'))
    }
  }
  return Math.min(...limits, Number.POSITIVE_INFINITY)
}

/** The limits of a group and of those around it. In a container the path may be that of the host: then only the root is there. */
function limitsUpwards(mount: string, path: string, file: string): number[] {
  const limits: number[] = []
  for (let group = path || '/'; ; group = dirname(group)) {
    const limit = Number.parseInt(read(join(mount, group, file)), 10)
    // `max` is no number.
    if (limit > 0) limits.push(limit)
    if (group === '/' || group === '.') return limits
  }
}

/** A small file's text; none where it cannot be read. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
