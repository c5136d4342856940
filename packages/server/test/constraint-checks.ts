import { after } from 'node:test'
import { ConstraintChecks } from '@incipit/constraint'

/** Checks of constraints for the tests of a file. */
export function constraintChecks(): ConstraintChecks {
  const checks = new ConstraintChecks()
  after(() => checks[Symbol.dispose]())
  return checks
}
