import { type BackendSession, type BackendUsage, type CompletionOptions, PromptTooLong } from '../backends/backend.ts'
import type { FimPrompt } from '../context/fim-format.ts'
import { type View, viewBefore } from '../documents/document-view.ts'
import type { Settings } from '../settings.ts'
import { withoutLead } from '../suggest/gate.ts'
import { Generation } from '../suggest/generation.ts'
import type { SentPrompt } from '../trace.ts'
import type { WorkListener } from './work.ts'

export interface RunnerHost extends WorkListener {
  readonly settings: Settings
}

/** Lets a back end say what comes at places of one document. */
export class CompletionRunner {
  readonly #host: RunnerHost
  readonly #session: BackendSession
  readonly #onTooLong: () => void

  /** @param onTooLong a prompt did not fit */
  constructor(host: RunnerHost, session: BackendSession, onTooLong: () => void) {
    this.#host = host
    this.#session = session
    this.#onTooLong = onTooLong
  }

  /**
   * Begins to say what comes at a place.
   * @param enough whether more of it changes nothing; asked after each piece
   * @returns what is said, and a promise of its end
   */
  start(
    view: View,
    prompt: FimPrompt,
    options: Pick<CompletionOptions, 'background' | 'temperature' | 'seed'>,
    enough: (generation: Generation) => boolean,
  ): { generation: Generation; over: Promise<void> } {
    const { related, before, begun, after } = prompt
    const generation = new Generation(viewBefore(view, begun.length).place, begun.length)
    const sent: SentPrompt = { related, before: before + begun, after }
    generation.sent = sent
    const onUsage = ({ promptTokens, cachedTokens }: BackendUsage) => {
      sent.promptTokens = promptTokens
      sent.cachedTokens = cachedTokens
    }
    const { signal } = generation
    const { maxTokens } = this.#host.settings
    const said = this.#session.complete(prompt, { ...options, maxTokens, signal, onUsage })
    this.#host.began()
    const pieces = onIndentedLine(prompt) ? withoutLead(said, begun.length) : said
    const reading = generation.read(pieces, () => {
      if (enough(generation)) generation.stop()
    })
    return { generation, over: reading.then(() => this.#ended(generation, options.background === true)) }
  }

  #ended({ error, sent, firstMs, tokens: saidTokens }: Generation, background: boolean): void {
    if (error instanceof PromptTooLong) this.#onTooLong()
    const { promptTokens = 0, cachedTokens = 0 } = sent ?? {}
    this.#host.ended({ firstMs: background ? undefined : firstMs, saidTokens, promptTokens, cachedTokens })
  }
}

/** Whether the cursor stands on an empty line that is indented already. */
function onIndentedLine({ before, begun }: FimPrompt): boolean {
  return /(^|\n)[ \t]+$/.test(before + begun)
}
