import { stat } from 'node:fs/promises'
import { headWidth, readGguf } from '@incipit/engine/gguf'
import type { SpawnOptions } from '@incipit/engine/spawn'
import { EngineBackend } from '@incipit/lsp'
import { editorSocket, listenForEditors } from './editor-socket.ts'

export interface HostedEngine {
  readonly model: string
  readonly contextTokens: number
  readonly threads: number
}

// With so few bytes to read a step takes less than the wait of the editor and its servers for a core that computes.
const tinyBytes = 32e6
const narrowHead = 64
// An editor that is started again finds its engine.
const lingerMs = 5000

/**
 * Has an engine for the editors of this user, and ends some seconds after the last one left. Says `ready` on standard output
 * when they can connect, or why not.
 */
export async function hostEngine(hosted: HostedEngine, options: SpawnOptions): Promise<void> {
  const { SpawnedEngine } = await import('@incipit/engine/spawn')
  await using engine = await SpawnedEngine.start(hosted.model, { ...options, ...(await engineFor(hosted)) })
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
export async function engineFor({ model, contextTokens, threads }: HostedEngine): Promise<Partial<SpawnOptions>> {
  const computing = threads > 0 ? threads : (await stat(model)).size < tinyBytes ? 1 : undefined
  const width = headWidth(await readGguf(model))
  return {
    parallel: 4,
    // Nearly all requests begin alike: in one cache for all that is shared, not copied.
    cache: 'unified',
    // One stage: what an exit would show early, an editor does not show.
    cut: 'none',
    contextLength: contextTokens,
    // Prompts are computed while they are typed: what is waited for are the tokens behind them.
    ...(width !== undefined && width < narrowHead && { flashAttention: false }),
    ...(computing !== undefined && { threads: computing }),
  }
}
