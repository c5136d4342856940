import type { CancellationToken } from 'vscode-languageserver'

/** Aborted when the client takes its request back. */
export function signalOf(token: CancellationToken): AbortSignal {
  const abort = new AbortController()
  if (token.isCancellationRequested) abort.abort()
  token.onCancellationRequested(() => abort.abort())
  return abort.signal
}
