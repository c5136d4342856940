import type { FimOrder } from '@incipit/engine/api'
import { NotificationType, RequestType, RequestType0 } from 'vscode-languageserver'
import type { FimPrompt } from '../../context/fim-format.ts'
import type { EditPrompt } from '../../edits/edit-prompt.ts'
import type { Said } from '../../suggest/gate.ts'
import type { BackendUsage } from '../backend.ts'

/** Rises with every change of the messages: an older host is not attached to. */
export const sharedProtocol = 2

export interface HostInfo {
  readonly protocol: number
  readonly model: string
  readonly contextTokens: number
  readonly order: FimOrder | undefined
  readonly probabilities: boolean
  readonly begins: boolean
  readonly rewrites: boolean
}

export interface Completion {
  readonly session: number
  /** Chosen by who asks; `said` names it. */
  readonly id: number
  readonly prompt: FimPrompt
  readonly maxTokens: number
  readonly temperature?: number
  readonly seed?: number
  readonly background?: boolean
}

export interface Rewriting {
  /** Chosen by who asks; `said` names it. */
  readonly id: number
  readonly prompt: EditPrompt
  readonly maxTokens: number
}

export interface CompletionEnd {
  readonly usage?: BackendUsage
  /** The prompt was too long: a smaller one may fit. */
  readonly tooLong?: string
}

export const infoRequest = new RequestType0<HostInfo, void>('info')
/** A number chosen by who opens it. */
export const openNotification = new NotificationType<{ readonly session: number }>('open')
export const closeNotification = new NotificationType<{ readonly session: number }>('close')
export const followNotification = new NotificationType<{ readonly session: number; readonly prompt: FimPrompt }>(
  'follow',
)
export const completeRequest = new RequestType<Completion, CompletionEnd, void>('complete')
export const rewriteRequest = new RequestType<Rewriting, CompletionEnd, void>('rewrite')
export const saidNotification = new NotificationType<{ readonly id: number } & Said>('said')
