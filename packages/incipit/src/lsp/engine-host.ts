import type { SpawnOptions } from '@incipit/engine/spawn'
import { EngineBackend } from '@incipit/lsp'
import { editorSocket, listenForEditors } from './editor-socket.ts'

export interface HostedEngine {
  readonly model: string
  readonly contextTokens: number
  readonly threads: number
}

// An editor that is started again finds its engine.
const lingerMs = 5000

/**
 * Has an engine for the editors of this user, and ends some seconds after the last one left. Says `ready` on standard output
 * when they can connect, or why not.
 */
export async function hostEngine(hosted: HostedEngine, options: SpawnOptions): Promise<void> {
  const { SpawnedEngine } = await import('@incipit/engine/spawn')
  await using engine = await SpawnedEngine.start(hosted.model, { ...options, ...engineFor(hosted) })
  const unused = Promise.withResolvers<void>()
  let timer: NodeJS.Timeout | undefined
  const leaveLater = () => {
    clearTimeout(timer)
    timer = setTimeout(() => (host?.connections ? undefined : unused.resolve()), lingerMs)
  }
  await using host = await listenForEditors(new EngineBackend(engine), await editorSocket(hosted.model), leaveLater)
  process.stdout.write('ready\n')
  if (!host) return
  leaveLater()
  await unused.promise
}

/** Few requests at once: what is typed, what comes next, and the alternatives. */
export function engineFor({
  contextTokens,
  threads,
}: HostedEngine): Pick<SpawnOptions, 'parallel' | 'cache' | 'cut' | 'contextLength'> {
  return {
    parallel: 4,
    // Nearly all requests begin alike: in one cache for all that is shared, not copied.
    cache: 'unified',
    // One stage: what an exit would show early, an editor does not show.
    cut: 'none',
    contextLength: contextTokens,
    ...(threads > 0 && { threads }),
  }
}
