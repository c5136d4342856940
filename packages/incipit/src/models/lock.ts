import { setTimeout as wait } from 'node:timers/promises'

/** A lock that this process holds. */
export interface Lock {
  /** Somebody else may hold it now: this process was held up for so long that it looked dead, or the lock was removed. */
  readonly lost: boolean
  release(): Promise<void>
}

/**
 * Keeps a second process from doing the same work at the same time. The lock is a folder whose time its owner renews; one
 * that was not renewed for `staleMs` is taken over. Unlike a process id, that also tells between containers and after a
 * restart whether the owner still lives.
 *
 * @param staleMs at least 2000
 * @throws Error when another process holds it
 */
export async function lockFile(path: string, staleMs = 5000): Promise<Lock> {
  const { lock } = await import('proper-lockfile')
  // It listens to signals, to leave no lock behind. Outside of a download they are left to their default: native code that
  // loads a model lets no listener run for seconds.
  const { default: onExit } = await import('signal-exit')
  onExit.load()
  let lost = false
  const options = {
    lockfilePath: path,
    realpath: false,
    stale: staleMs,
    update: 1000,
    onCompromised: () => {
      lost = true
    },
  }
  // Long enough to tell an owner that lives from one that has just died.
  for (const end = performance.now() + 1.5 * staleMs; ; await wait(staleMs / 10)) {
    try {
      const release = await lock(path, options)
      return {
        get lost() {
          return lost
        },
        async release() {
          // What cannot be released is not renewed any more either.
          await release().catch(() => {})
          onExit.unload()
        },
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ELOCKED') throw error
      if (performance.now() > end) throw new Error(`another process is downloading the same file (lock ${path})`)
    }
  }
}
