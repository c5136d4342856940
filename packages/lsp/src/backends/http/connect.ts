import { IncipitError } from '@incipit/engine/api'
import { record } from '../../record.ts'
import type { Settings } from '../../settings.ts'
import type { Backend } from '../backend.ts'
import { LlamaServer } from './llama-server.ts'
import { OpenAiServer } from './openai.ts'
import { get, type Server } from './post.ts'

/**
 * The server that the settings name.
 * @throws IncipitError `backend_failed`, or what `fetch` throws when a server of a named type cannot be reached
 */
export async function connectServer(settings: Settings, log: (message: string) => void): Promise<Backend> {
  const { serverModel, contextTokens, apiKeyVariable } = settings
  const key = apiKeyVariable === '' ? undefined : process.env[apiKeyVariable]
  if (apiKeyVariable !== '' && key === undefined) {
    throw new IncipitError('backend_failed', `the variable ${apiKeyVariable} is not set`)
  }
  const server: Server = { url: settings.server.replace(/\/+$/, '').replace(/\/v1$/, ''), key }
  const type = settings.serverType === 'auto' ? await typeOf(server).catch(unreachable) : settings.serverType
  if (type === 'llama-server') return LlamaServer.connect(server)
  const model = serverModel === '' ? undefined : serverModel
  return OpenAiServer.connect(server, { model, incipit: type === 'incipit', contextTokens, log })
}

function unreachable(error: unknown): never {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const why = cause instanceof Error ? cause.message : cause
  throw new IncipitError('backend_failed', `the server does not answer: ${why}`, { cause: error })
}

async function typeOf(server: Server): Promise<'incipit' | 'llama-server' | 'openai'> {
  const { data } = record(await get(server, '/v1/models'))
  const owner = Array.isArray(data) ? record(data[0]).owned_by : undefined
  if (owner === 'incipit') return 'incipit'
  const props = record(await get(server, '/props'))
  return 'default_generation_settings' in props ? 'llama-server' : 'openai'
}
