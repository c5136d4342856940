import type { CostProfile } from './cost-profile.ts'
import type { IncipitError } from './errors.ts'
import type { Generation } from './generation.ts'
import type { InputOptions } from './input-options.ts'
import type { ModelInfo } from './model-info.ts'
import type { ChatMessage, ChatTemplateOptions, GenerateRequest } from './request.ts'
import type { EngineStats } from './stats.ts'
import type { Watcher, WatchOptions } from './watch.ts'

/** At once from an engine in this process, later from one in another. */
export type Awaitable<T> = T | Promise<T>

/** A prompt that is computed and not answered. */
export type PrefillRequest = Pick<
  GenerateRequest,
  'prompt' | 'messages' | 'template' | 'parseSpecial' | 'cacheSalt' | 'signal'
>

export interface Prefilled {
  readonly promptTokens: number
  /** Of these, how many were computed already. */
  readonly cachedTokens: number
}

/**
 * A loaded model, wherever it runs: `Engine.load` in this process, `Engine.spawn` in a child that may die. Methods are
 * explained at `Engine`.
 */
export interface EngineApi extends AsyncDisposable {
  readonly info: ModelInfo
  /** What keeps it from taking requests, where anything does: for good in this process, until a child is there again. */
  readonly failure: IncipitError | undefined
  /** @throws IncipitError for what is wrong in the request itself, at once; for the rest see `Generation.accepted` */
  generate(request: GenerateRequest): Generation
  open(options?: InputOptions): InputApi
  prefill(request: PrefillRequest): Promise<Prefilled>
  pinPrefix(name: string, request: PrefillRequest): Promise<Prefilled>
  tokenize(text: string, options?: { special?: boolean }): Awaitable<number[]>
  detokenize(tokens: readonly number[], options?: { special?: boolean }): Awaitable<string>
  tokenBytes(tokens: readonly number[], options?: { special?: boolean }): Awaitable<Uint8Array[]>
  renderChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): Awaitable<string>
  stats(): Awaitable<EngineStats>
  /**
   * Tells what is done from now on: steps, requests, guesses, decisions. Whoever watches costs a little, nobody nothing.
   * @returns stops it
   */
  watch(watcher: Watcher, options?: WatchOptions): () => void
  /** Measured milliseconds by rows of a step, per stage. */
  costProfile(): Awaitable<CostProfile>
  /** Differences between what the engine believes and what its caches hold. */
  audit(): Awaitable<string[]>
  /** Resolves when no request is left. */
  idle(): Promise<void>
  close(): Promise<void>
}

/** A conversation whose next message is still being written. Methods are explained at `InputSession`. */
export interface InputApi extends Disposable {
  readonly text: string
  readonly rev: number
  readonly messages: readonly ChatMessage[]
  configure(options: Partial<InputOptions>): void
  append(text: string): void
  replace(base: number, text: string): void
  revise(text: string): void
  clear(): void
  add(message: ChatMessage): void
  commit(): ChatMessage
  respond(request?: Partial<GenerateRequest>): Generation
  close(): void
}
