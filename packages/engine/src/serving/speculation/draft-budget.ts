import { maxDraft } from '../../proposers/proposer.ts'
import type { ActiveRequest } from '../active-request.ts'
import type { SpeculationParts } from './speculation-parts.ts'

/** How many more guesses a request's tail may take: no more than the reply can still use. */
export function draftBudget(
  { maxTokens, sequence }: ActiveRequest,
  { contextLength, table }: Pick<SpeculationParts, 'contextLength' | 'table'>,
): number {
  const { tokens, prompt, committed } = sequence!
  const longest = table.longestDraft(sequence!)
  const wanted = maxTokens - (committed - prompt)
  return Math.max(0, Math.min(maxDraft, longest, wanted, contextLength - 1 - committed) - (tokens.length - committed))
}
