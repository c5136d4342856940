import type { Draft } from '../../proposers/proposer.ts'
import type { ActiveRequest } from '../active-request.ts'
import type { OnVerified } from '../tail.ts'

/** A draft that somebody has for a request. */
export interface Offer {
  readonly request: ActiveRequest
  readonly draft: Draft
  readonly onVerified: OnVerified
}

/** Tokens that a chain is expected to give. */
export function expectedTokens(confidences: readonly number[]): number {
  let survival = 1
  let expected = 0
  for (const confidence of confidences) {
    survival *= confidence
    expected += survival
  }
  return expected
}
