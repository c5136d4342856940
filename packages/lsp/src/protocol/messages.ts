import { NotificationType, RequestType, RequestType0 } from 'vscode-languageserver'
import type { Position, TextEdit } from 'vscode-languageserver-textdocument'
import type { RelatedChunk } from '../context/fim-format.ts'
import type { TraceEntry } from '../trace.ts'

/** What the server tells about itself, whenever it changes, to editors with `status: true` in their initialization options. */
export interface Status {
  readonly state: 'off' | 'loading' | 'ready' | 'working' | 'failed'
  readonly model: string
  /** Why it failed, or what there is to know. */
  readonly message?: string
  /** From a request to the first text of the last completion that was computed, in milliseconds. */
  readonly firstMs?: number
  readonly shown: number
  readonly accepted: number
}

export const statusNotification = new NotificationType<Status>('incipit/status')

/** The cursor moved: what stands before it can be computed before anything is typed. */
export const cursorNotification = new NotificationType<{ readonly uri: string; readonly position: Position }>(
  'incipit/cursor',
)

/** What only the editor knows: the clipboard, diagnostics, definitions. Replaces what it said before. */
export const contextNotification = new NotificationType<{ readonly chunks: readonly RelatedChunk[] }>('incipit/context')

/** The last requests, and everything that was given to the model for them. */
export const traceRequest = new RequestType0<readonly TraceEntry[], void>('incipit/trace')

/** What all completions took since the server was started. */
export interface Stats {
  readonly completions: number
  readonly saidTokens: number
  readonly promptTokens: number
  readonly cachedTokens: number
}

export const statsRequest = new RequestType0<Stats, void>('incipit/stats')

export interface ModelChoice {
  readonly name: string
  readonly path: string
  readonly bytes: number
  /** Whether it knows what stands behind the cursor. */
  readonly fillsIn: boolean
}

export const modelsRequest = new RequestType0<readonly ModelChoice[], void>('incipit/models')

/** Changes settings of this session only: what is missing stays. */
export const configureRequest = new RequestType<Readonly<Record<string, unknown>>, null, void>('incipit/configure')

/** A change that follows from the last ones. */
export interface OfferedEdit {
  /** For `incipit.rejected`. */
  readonly id: number
  readonly textDocument: { readonly uri: string; readonly version: number }
  /** In the order of the text, none of which overlap. */
  readonly edits: readonly TextEdit[]
}

/** What the writer would change next in a document; null: nothing. The cursor says where they are. */
export const nextEditRequest = new RequestType<
  { readonly textDocument: { readonly uri: string }; readonly position: Position },
  OfferedEdit | null,
  void
>('incipit/nextEdit')

/** The commands that completions and next edits carry and editors run. */
export const acceptedCommand = 'incipit.accepted'
/** With the id of a next edit that is not wanted: it is not offered again. */
export const rejectedCommand = 'incipit.rejected'
