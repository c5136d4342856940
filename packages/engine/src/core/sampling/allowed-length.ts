import type { ConstraintState } from '../../api/constraint.ts'
import { allows } from './token-mask.ts'

/** How many of these tokens a constraint allows in a row, from where it stands; it stands there again afterwards. */
export function allowedLength(constraint: ConstraintState, tokens: readonly number[]): number {
  if (constraint.allowedLength) return constraint.allowedLength(tokens)
  let length = 0
  try {
    for (; length < tokens.length && allows(constraint.mask(), tokens[length]!); length++) {
      constraint.advance(tokens[length]!)
    }
    return length
  } finally {
    constraint.rollback(length)
  }
}
