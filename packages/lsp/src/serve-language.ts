import {
  createConnection,
  ProposedFeatures,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver/node'
import { LanguageServer, type LanguageServerOptions } from './protocol/language-server.ts'

/**
 * Speaks the protocol over two streams, standard input and output say, until the other side leaves.
 * @returns a promise of that
 */
export function serveLanguage(
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
  options: LanguageServerOptions,
): Promise<void> {
  const reader = new StreamMessageReader(input)
  const connection = createConnection(ProposedFeatures.all, reader, new StreamMessageWriter(output))
  const server = new LanguageServer(connection, options)
  const gone = Promise.withResolvers<void>()
  connection.onExit(() => gone.resolve())
  reader.onClose(() => gone.resolve())
  connection.listen()
  return gone.promise.then(() => server.close())
}
