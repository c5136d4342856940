import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Log } from '@incipit/engine/api'
import type { SpawnOptions } from '@incipit/engine/spawn'
import { AttachedBackend, type Backend, connectServer, EngineBackend, type Settings } from '@incipit/lsp'
import { codeModel } from './code-models.ts'
import { editorSocket } from './editor-socket.ts'
import { engineFor, type HostedEngine } from './engine-host.ts'

const command = fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url))

/**
 * Where completions come from, for an editor's settings: a server that they name, else an engine for their model. That is
 * shared with other editors, or with an `incipit serve` of the same model, unless they say otherwise.
 * @throws IncipitError when the model cannot be found or loaded; what `connectServer` throws
 */
export async function openBackend(settings: Settings, options: SpawnOptions & { readonly log: Log }): Promise<Backend> {
  if (settings.server !== '') return connectServer(settings, (message) => options.log('info', message))
  const { contextTokens, threads, share } = settings
  const hosted = { model: await codeModel(settings.model), contextTokens, threads }
  if (share) return sharedEngine(hosted)
  const { SpawnedEngine } = await import('@incipit/engine/spawn')
  return new EngineBackend(await SpawnedEngine.start(hosted.model, { ...options, ...(await engineFor(hosted)) }))
}

async function sharedEngine(hosted: HostedEngine): Promise<Backend> {
  const path = await editorSocket(hosted.model)
  const there = await AttachedBackend.attach(path)
  if (there) return there
  await startHost(hosted)
  const started = await AttachedBackend.attach(path)
  if (started) return started
  throw new Error(`the engine for ${hosted.model} ended at once`)
}

/** Starts a process that outlives this one, and waits until it takes connections. */
async function startHost(hosted: HostedEngine): Promise<void> {
  const args = [command, 'lsp', '--host', JSON.stringify(hosted)]
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let [said, problem] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (said.includes('ready\n')) ready.resolve()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    problem += text
  })
  const ready = Promise.withResolvers<void>()
  const ended = once(child, 'exit').then(() => {
    if (!said.includes('ready\n')) throw new Error(problem.trim().replace(/^incipit: /, '') || 'the engine ended')
  })
  await Promise.race([ready.promise, ended])
  child.stdout.destroy()
  child.stderr.destroy()
  child.unref()
}
