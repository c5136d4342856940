import { type Backend, type BackendUsage, PromptTooLong } from '../backends/backend.ts'
import { type EditPrompt, rewriteIn } from '../edits/edit-prompt.ts'
import type { Rewrite } from '../edits/rewrite.ts'
import type { Said } from '../suggest/gate.ts'
import type { WorkListener } from './work.ts'

/** What asking a model to rewrite takes. */
export interface RewriteHost extends WorkListener {
  readonly backend: Backend
}

interface Rewritten {
  readonly rewrite: Rewrite
  /** Where the back end says so. */
  readonly usage: BackendUsage | undefined
}

const maxKept = 50
// A reply that has so many lines more than what it rewrites says something else.
const maxMoreLines = 4

/** Asks a model to rewrite code, and remembers what became of it. */
export class Rewriter {
  readonly #known = new Map<string, Rewritten>()

  knows(prompt: EditPrompt): boolean {
    return this.#known.has(keyOf(prompt))
  }

  /**
   * @returns undefined when the signal came first, or the prompt does not fit
   * @throws whatever the back end fails with
   */
  async rewrite(prompt: EditPrompt, host: RewriteHost, signal: AbortSignal): Promise<Rewritten | undefined> {
    const key = keyOf(prompt)
    const known = this.#known.get(key)
    if (known) return known
    const found = await ask(prompt, host, signal)
    if (!found || signal.aborted) return undefined
    this.#known.set(key, found)
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= maxKept) break
      this.#known.delete(oldest)
    }
    return found
  }
}

function keyOf({ messages }: EditPrompt): string {
  return JSON.stringify(messages)
}

async function ask(
  prompt: EditPrompt,
  { backend, began, ended }: RewriteHost,
  signal: AbortSignal,
): Promise<Rewritten | undefined> {
  const { predicted } = prompt
  const maxLines = predicted.split('\n').length + maxMoreLines
  const said: Said[] = []
  let usage: BackendUsage | undefined
  let lines = 1
  const onUsage = (told: BackendUsage) => {
    usage = told
  }
  // Code has more than two characters per token.
  const maxTokens = 32 + Math.ceil(predicted.length / 2)
  began()
  try {
    for await (const piece of backend.rewrite(prompt, { maxTokens, signal, onUsage })) {
      said.push(piece)
      lines += piece.text.split('\n').length - 1
      if (lines > maxLines) break
    }
  } catch (error) {
    if (error instanceof PromptTooLong) return undefined
    throw error
  } finally {
    const { promptTokens = 0, cachedTokens = 0 } = usage ?? {}
    // Nobody waits for it as for a completion.
    ended({ firstMs: undefined, saidTokens: said.length, promptTokens, cachedTokens })
  }
  return { rewrite: rewriteIn(said), usage }
}
