import { tiers } from '../api/tiers.ts'
import { TokenChooser } from '../core/sampling/token-chooser.ts'
import type { RequestPlan } from './active-request.ts'
import type { Loop } from './loop.ts'

const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }

/** A request that computes a prompt and its next token, without speculation. Nobody reads the reply. */
export function promptPlan(prompt: readonly number[], options: { shares?: boolean } = {}): RequestPlan {
  return {
    prompt,
    maxTokens: 1,
    minTokens: 0,
    stop: [],
    chooser: new TokenChooser({ sampling: greedy, prompt }),
    policy: 'committed',
    alpha: 1,
    minStability: 1,
    tier: tiers.chat,
    cacheNamespace: '',
    shares: options.shares ?? false,
    allowed: new Set(),
    proposers: [],
    opening: undefined,
    lookaheads: [],
    sink: { push() {}, close() {} },
  }
}

/**
 * Computes a prompt in a loop that nobody else uses.
 * @throws what made the computation fail
 */
export async function runPrompt(
  loop: Loop,
  prompt: readonly number[],
  options: { shares?: boolean } = {},
): Promise<void> {
  let failure: unknown
  const close = (error?: unknown) => {
    failure = error
  }
  loop.submit({ ...promptPlan(prompt, options), sink: { push() {}, close } })
  while (await loop.step());
  if (failure !== undefined) throw failure
}
