import {
  type EngineApi,
  type FimOrder,
  type FimTokens,
  type Generation,
  IncipitError,
  type InputApi,
  type PromptFrame,
  type PromptPiece,
} from '@incipit/engine/api'
import { type FimPrompt, frameOf, plainText } from '../context/fim-format.ts'
import { type EditPrompt, editStop } from '../edits/edit-prompt.ts'
import type { Said } from '../suggest/gate.ts'
import {
  type Backend,
  type BackendSession,
  type CompletionOptions,
  PromptTooLong,
  type RewriteOptions,
} from './backend.ts'
import { tierOf } from './tier.ts'
import { WarmUp } from './warm-up.ts'

// The request for a completion comes right behind its keystroke, or tens of milliseconds later: in the first case one step
// computes what was typed and the first token.
const restMs = 5

/** Completions from an engine of ours: each document is an open text, computed while it is typed. */
export class EngineBackend implements Backend {
  readonly model: string
  readonly contextTokens: number
  readonly probabilities = true
  readonly begins = true
  readonly #engine: EngineApi

  constructor(engine: EngineApi) {
    this.#engine = engine
    this.model = engine.info.name
    this.contextTokens = engine.info.contextLength
  }

  get order(): FimOrder | undefined {
    return this.#engine.info.fim?.order
  }

  get rewrites(): boolean {
    return this.#engine.info.hasChatTemplate
  }

  get failure(): Error | undefined {
    return this.#engine.failure
  }

  open(): BackendSession {
    return new EngineSession(this.#engine)
  }

  rewrite({ messages, beginsWith, predicted }: EditPrompt, options: RewriteOptions): AsyncGenerator<Said> {
    const { maxTokens, signal } = options
    const request = { messages, beginsWith, prediction: predicted, stop: [editStop], maxTokens, signal }
    return saidIn(() => this.#engine.generate({ ...request, logprobs: 0, tier: 'code' }), options)
  }

  close(): Promise<void> {
    return this.#engine.close()
  }
}

class EngineSession implements BackendSession {
  readonly #engine: EngineApi
  readonly #marks: FimTokens | undefined
  readonly #warmUp = new WarmUp(async (prompt: FimPrompt) => this.#revise(prompt), restMs)
  #input: InputApi | undefined
  #frame: PromptFrame | undefined

  constructor(engine: EngineApi) {
    this.#engine = engine
    this.#marks = engine.info.fim
  }

  follow(prompt: FimPrompt): void {
    this.#warmUp.follow(prompt)
  }

  complete(prompt: FimPrompt, options: CompletionOptions): AsyncGenerator<Said> {
    const { maxTokens, signal, temperature = 0, seed = 0, background = false } = options
    const tier = tierOf(background)
    const request = { maxTokens, signal, temperature, seed, logprobs: 0, tier, beginsWith: prompt.begun } as const
    if (!background) {
      this.#warmUp.skip()
      this.#revise(prompt)
    }
    const ask = () =>
      this.#isFollowed(prompt)
        ? this.#input!.respond(request)
        : this.#engine.generate({ ...request, prompt: this.#promptOf(prompt) })
    return saidIn(ask, options)
  }

  close(): void {
    this.#warmUp.close()
    this.#input?.close()
  }

  #revise(prompt: FimPrompt): void {
    const frame = this.#frameOf(prompt)
    try {
      this.#input ??= this.#engine.open({ raw: true, tier: 'code' })
      if (frame && !sameFrame(frame, this.#frame)) this.#input.configure({ frame })
      this.#frame = frame
      this.#input.revise(this.#textOf(prompt))
    } catch (error) {
      // The engine died too often while this was open: the next change opens it again.
      if (!(error instanceof IncipitError)) throw error
      this.#input = undefined
      this.#frame = undefined
    }
  }

  #isFollowed(prompt: FimPrompt): boolean {
    if (this.#input?.text !== this.#textOf(prompt)) return false
    const frame = this.#frameOf(prompt)
    return frame === undefined || sameFrame(frame, this.#frame)
  }

  #promptOf(prompt: FimPrompt): string | readonly PromptPiece[] {
    const frame = this.#frameOf(prompt)
    return frame ? [...frame.before, prompt.before, ...frame.after] : this.#textOf(prompt)
  }

  #frameOf(prompt: FimPrompt): PromptFrame | undefined {
    return this.#marks && frameOf(prompt, this.#marks)
  }

  #textOf(prompt: FimPrompt): string {
    return this.#marks ? prompt.before : plainText(prompt)
  }
}

async function* saidIn(ask: () => Generation, { onUsage }: RewriteOptions): AsyncGenerator<Said> {
  try {
    for await (const event of ask()) {
      if (event.type === 'delta') {
        const logprob = event.logprobs?.reduce((sum, token) => sum + token.logprob, 0)
        yield { text: event.text, probability: logprob === undefined ? undefined : Math.exp(logprob) }
      } else if (event.type === 'done') onUsage?.(event.usage)
    }
  } catch (error) {
    if (error instanceof IncipitError && error.code === 'context_overflow') throw new PromptTooLong(error.message)
    throw error
  }
}

function sameFrame(a: PromptFrame, b: PromptFrame | undefined): boolean {
  return b !== undefined && samePieces(a.before, b.before) && samePieces(a.after, b.after)
}

function samePieces(a: readonly PromptPiece[], b: readonly PromptPiece[]): boolean {
  return a.length === b.length && a.every((piece, i) => piece === b[i])
}
