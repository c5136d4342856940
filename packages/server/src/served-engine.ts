import type { Engine, InputSession } from '@incipit/engine'
import type { GenerateEvent, GenerateRequest, IncipitError, InputOptions, ModelInfo } from '@incipit/engine/api'

/** What the server needs of an `Engine`. One without `open` or `prefill` has no streaming input. */
export interface ServedEngine {
  readonly info: ModelInfo
  /** What ended the engine, if anything did. */
  readonly failure?: IncipitError | undefined
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>
  open?(options: InputOptions): ServedInput
  prefill?(request: Parameters<Engine['prefill']>[0]): ReturnType<Engine['prefill']>
}

/** What the server needs of an `InputSession`. */
export type ServedInput = Pick<
  InputSession,
  'text' | 'rev' | 'messages' | 'configure' | 'append' | 'replace' | 'revise' | 'clear' | 'commit' | 'respond' | 'close'
>
