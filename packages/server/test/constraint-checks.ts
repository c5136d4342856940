import { after } from 'node:test'
import { ConstraintChecks } from '@incipit/constraint'

/**
 * Checks of constraints for the tests of a file. They run at the lowest priority, and other tests keep the processors busy:
 * how long one takes by the clock says nothing here.
 */
export function constraintChecks(): ConstraintChecks {
  const checks = new ConstraintChecks({ timeoutMs: 60_000 })
  after(() => checks[Symbol.dispose]())
  return checks
}
