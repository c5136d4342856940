import { maxDraft } from '../../proposers/proposer.ts'
import type { ActiveRequest } from '../active-request.ts'

/** How many more guesses a request's tail may take: no more than the reply can still use. */
export function draftBudget({ maxTokens, sequence }: ActiveRequest, contextLength: number): number {
  const { tokens, prompt, committed } = sequence!
  const wanted = maxTokens - (committed - prompt)
  return Math.max(0, Math.min(maxDraft, wanted, contextLength - 1 - committed) - (tokens.length - committed))
}
