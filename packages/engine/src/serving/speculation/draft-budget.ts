import { maxDrafts } from '../../runtime/load/load.ts'
import type { Flight } from '../active-request.ts'

/** How many more drafts a flight's tail may take. */
export function draftBudget(flight: Flight, contextLength: number): number {
  const { tokens, prompt, committed } = flight.sequence!
  const wanted = flight.maxTokens - (committed - prompt)
  return Math.max(0, Math.min(maxDrafts, wanted, contextLength - 1 - committed) - (tokens.length - committed))
}
