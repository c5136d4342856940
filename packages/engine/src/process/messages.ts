import type { EmbedderInfo, EmbedderOptions, EmbedInput } from '../api/embedder-api.ts'
import type { EngineOptions, Log } from '../api/engine-options.ts'
import type { ErrorCode } from '../api/errors.ts'
import type { GenerateEvent, ProvisionalEvent } from '../api/events.ts'
import type { InputOptions } from '../api/input-options.ts'
import type { ModelInfo } from '../api/model-info.ts'
import type { ChatMessage, ChatTemplateOptions, GenerateRequest } from '../api/request.ts'
import type { WatchOptions, WatchRecord } from '../api/watch.ts'
import type { FormerLife } from '../serving/former-life.ts'

/** Rises with every change of the messages: both sides are of one release, and say so. */
export const protocolVersion = 3

/** What of `EngineOptions` crosses a process. */
export interface ChildOptions extends Omit<EngineOptions, 'log' | 'constraints'> {
  /** URL of a module whose default export is a `ConstraintCompiler`. */
  readonly constraints?: string
  /** A step that takes longer than this, in milliseconds, and much longer than expected, hangs. */
  readonly hangMs: number
}

/** What of `EmbedderOptions` crosses a process. */
interface EmbedderChildOptions extends Omit<EmbedderOptions, 'log'> {
  /** See `ChildOptions`. */
  readonly hangMs: number
}

export type PlainRequest = Omit<GenerateRequest, 'signal'>
export type PlainInputOptions = Omit<InputOptions, 'onProgress' | 'onPreview'>

/** What somebody wants to hear of an open input. */
export interface Wants {
  readonly progress: boolean
  readonly preview: boolean
}

/** A question with one answer. */
export type Call =
  | { readonly method: 'prefill'; readonly request: PlainRequest }
  | { readonly method: 'pinPrefix'; readonly name: string; readonly request: PlainRequest }
  | { readonly method: 'tokenize'; readonly text: string; readonly special: boolean }
  | { readonly method: 'detokenize'; readonly tokens: readonly number[] }
  | {
      readonly method: 'renderChat'
      readonly messages: readonly ChatMessage[]
      readonly options?: ChatTemplateOptions | undefined
    }
  | { readonly method: 'embed'; readonly inputs: readonly EmbedInput[] }
  | { readonly method: 'stats' | 'costProfile' | 'audit' | 'idle' }

/** The first message: what the process is for. */
export type Load =
  | { readonly type: 'load'; readonly version: number; readonly path: string; readonly options: ChildOptions }
  | {
      readonly type: 'loadEmbedder'
      readonly version: number
      readonly path: string
      readonly options: EmbedderChildOptions
    }

/** What a process says of the model that it has loaded. */
export type LoadedInfo = ModelInfo | EmbedderInfo

/** To the engine's process. Ids are given by the parent, and never twice. */
export type ToChild =
  | Load
  | { readonly type: 'generate'; readonly id: number; readonly request: PlainRequest; readonly life?: FormerLife }
  | { readonly type: 'respond'; readonly id: number; readonly input: number; readonly request: PlainRequest }
  | { readonly type: 'hold'; readonly id: number; readonly held: boolean }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'call'; readonly id: number; readonly call: Call }
  | {
      readonly type: 'open'
      readonly input: number
      readonly options: PlainInputOptions
      readonly text: string
      readonly wants: Wants
    }
  | { readonly type: 'replace'; readonly input: number; readonly base: number; readonly text: string }
  | {
      readonly type: 'configure'
      readonly input: number
      readonly options: PlainInputOptions
      readonly wants: Wants
    }
  | { readonly type: 'add'; readonly input: number; readonly message: ChatMessage }
  | { readonly type: 'commit'; readonly input: number }
  | { readonly type: 'closeInput'; readonly input: number }
  /** Most compute threads from now on. */
  | { readonly type: 'threads'; readonly most: number }
  | { readonly type: 'watch'; readonly watch: number; readonly options: WatchOptions }
  | { readonly type: 'unwatch'; readonly watch: number }
  | { readonly type: 'ping' }
  | { readonly type: 'close' }

/** An error as data. Without a code it was none of ours: a caller's compiler threw it, say. */
export interface PlainError {
  readonly message: string
  readonly code?: ErrorCode | undefined
  readonly param?: string | undefined
}

/** From the engine's process. */
export type FromChild =
  | { readonly type: 'ready'; readonly version: number; readonly info: LoadedInfo }
  | { readonly type: 'unloadable'; readonly error: PlainError }
  | { readonly type: 'accepted'; readonly id: number }
  /** `tokens` are those that a delta commits. */
  | { readonly type: 'event'; readonly id: number; readonly event: GenerateEvent; readonly tokens?: readonly number[] }
  /** A request or a call ended with an error. */
  | { readonly type: 'failed'; readonly id: number; readonly error: PlainError }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | {
      readonly type: 'progress'
      readonly input: number
      readonly progress: { readonly rev: number; readonly tokens: number; readonly computed: number }
    }
  | { readonly type: 'preview'; readonly input: number; readonly event: ProvisionalEvent }
  | { readonly type: 'inputFailed'; readonly input: number; readonly error: PlainError }
  | { readonly type: 'watched'; readonly watch: number; readonly records: readonly WatchRecord[] }
  /** A defect ended the engine. */
  | { readonly type: 'defect'; readonly error: PlainError }
  /** A step hangs: it took longer than it may. */
  | { readonly type: 'late'; readonly ms: number; readonly mostMs: number }
  | { readonly type: 'log'; readonly level: Parameters<Log>[0]; readonly message: string }
  | { readonly type: 'trace'; readonly line: string }
  /** Steps begin to run, or have not run for a moment. */
  | { readonly type: 'computing'; readonly computing: boolean }
  | { readonly type: 'pong' }
  | { readonly type: 'closed' }
