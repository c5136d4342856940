import { open, readFile, rm } from 'node:fs/promises'

/**
 * Keeps a second process from doing the same work at the same time. The lock is a file with the owner's process id; one
 * whose owner is gone is taken over. Returns the function that releases it.
 * @throws Error naming the process that holds it
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  for (let attempt = 0; ; attempt++) {
    try {
      const handle = await open(path, 'wx')
      await handle.writeFile(String(process.pid))
      await handle.close()
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const owner = Number(await readFile(path, 'utf8').catch(() => ''))
      if (attempt > 2 || isAlive(owner)) {
        throw new Error(`process ${owner || 'unknown'} is downloading the same file (lock ${path})`)
      }
      await rm(path, { force: true })
    }
  }
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
