import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

/** The subprotocol a client may name; the server answers with it. */
const PROTOCOL = 'realtime'

const KEY_PREFIX = 'bearer.'

/**
 * Whether the HTTP parser shall hand a connection over. Only WebSocket does that here: clients that offer another
 * upgrade with an ordinary request, as Java's does with `h2c`, are to be answered as if they had not.
 */
export function isWebSocketUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

/**
 * The `authorization` header of a WebSocket request. Browsers cannot set one, so the key may come as a subprotocol
 * `bearer.<key>` instead; a header wins.
 */
export function authorizationOf(headers: IncomingHttpHeaders): string | undefined {
  if (headers.authorization !== undefined) return headers.authorization
  const key = offered(headers).find((name) => name.startsWith(KEY_PREFIX))
  return key === undefined ? undefined : `Bearer ${key.slice(KEY_PREFIX.length)}`
}

/** The subprotocol the server answers with; a browser closes the socket when it offered some and gets none. */
export function chooseProtocol(protocols: ReadonlySet<string>): string | false {
  if (protocols.has(PROTOCOL)) return PROTOCOL
  return protocols.values().next().value ?? false
}

/**
 * Whether a page of this origin may open a socket. Browsers do not apply CORS to WebSockets, they only say who asks:
 * without this check any page could use a model on the visitor's own machine. Programs send no `origin`.
 */
export function isSameOrigin(headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers
  if (origin === undefined) return true
  return URL.canParse(origin) && new URL(origin).host === host?.toLowerCase()
}

function offered(headers: IncomingHttpHeaders): string[] {
  return (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
}
