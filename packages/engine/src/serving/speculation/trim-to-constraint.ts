import type { Draft } from '../../proposers/proposer.ts'
import type { ActiveRequest } from '../active-request.ts'

/** The part of a draft for what follows the committed reply that the request's constraint allows, or undefined. */
export function trimToConstraint(draft: Draft, request: ActiveRequest): Draft | undefined {
  const length = request.plan.chooser.allowedLength(draft.tokens, request.replyUpTo())
  if (length === draft.tokens.length) return draft
  if (length === 0) return undefined
  return { ...draft, tokens: draft.tokens.slice(0, length), confidences: draft.confidences.slice(0, length) }
}
