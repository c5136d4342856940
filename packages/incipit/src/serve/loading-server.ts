import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { IncipitError } from '@incipit/engine/api'
import { errorAnswer, ServerError } from '@incipit/server/errors'
import { pageAnswer, pageFiles } from '@incipit/server/page'

/**
 * A server that listens while the model loads and answers everything with 503 and `retry-after`, so that a health check
 * sees "not yet" instead of a refused connection. The page is there already, and says the same to people.
 * @param page the folder of the page, where one is shown
 * @throws IncipitError `invalid_request` when it cannot listen there, saying why
 */
export async function openLoadingServer(host: string, port: number, page?: string): Promise<Server> {
  const files = pageFiles(page)
  const { status, headers, body } = errorAnswer(new ServerError('loading', 'the model is loading'))
  const gate = createServer((request, response) => {
    const file = request.method === 'GET' ? files.get(request.url ?? '') : undefined
    if (file) {
      const { status, headers, body } = pageAnswer(file, request.headers)
      response.writeHead(status, { ...headers, connection: 'close' }).end(body)
      return
    }
    response
      .writeHead(status, { ...headers, 'content-type': 'application/json', connection: 'close' })
      .end(JSON.stringify(body))
  })
  gate.listen(port, host)
  try {
    await once(gate, 'listening')
  } catch (error) {
    throw new IncipitError('invalid_request', `cannot listen on ${host}:${port}: ${reason(error)}`, { cause: error })
  }
  return gate
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  switch (code) {
    case 'EADDRINUSE':
      return 'the port is in use (another incipit?); choose another with --port, 0 takes any free one'
    case 'EACCES':
      return 'this user may not use that port; choose one above 1023 with --port'
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'this machine has no such address'
    default:
      return message
  }
}
