import type { EngineApi, Log } from '@incipit/engine/api'

/** Lets editors find an engine that is served. A server without that is still a server. */
export async function shareWithEditors(engine: EngineApi, model: string, log: Log = () => {}): Promise<void> {
  try {
    const [{ EngineBackend }, { editorSocket, listenForEditors }] = await Promise.all([
      import('@incipit/lsp'),
      import('./editor-socket.ts'),
    ])
    await listenForEditors(new EngineBackend(engine), await editorSocket(model))
  } catch (error) {
    log('warn', `editors will not find this engine: ${error instanceof Error ? error.message : error}`)
  }
}
