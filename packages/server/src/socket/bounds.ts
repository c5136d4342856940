/** Bounds of a client's socket. Times are in milliseconds. */
export interface SocketBounds {
  /** Without a client event or a running response for this long, the socket is closed. Default 10 minutes. */
  idleTimeout?: number
  /** How often the client is pinged; one that has not answered by the next ping is cut off. Default 30 s. */
  pingInterval?: number
  /** How long a client may leave more than 1 MiB unread. Default 30 s. */
  drainTimeout?: number
}

export const defaultBounds = {
  idleTimeout: 600_000,
  pingInterval: 30_000,
  drainTimeout: 30_000,
} as const satisfies Required<SocketBounds>

/** Largest client event, in bytes. Longer texts come in several. */
export const MAX_FRAME = 1024 * 1024

/** Bytes that may wait for a slow reader: minutes of text. */
export const UNREAD_BOUND = 1024 * 1024

/** Milliseconds a client has to answer the closing of the socket, or to read up to it. */
export const CLOSE_GRACE = 5_000

/** Close codes of RFC 6455, section 7.4.1, and the IANA registry. */
export const closeCodes = { normal: 1000, goingAway: 1001, policy: 1008, internal: 1011, tryAgainLater: 1013 } as const
