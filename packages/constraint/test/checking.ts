import { ConstraintChecks } from '../src/index.ts'

// A program that checks one constraint, to be stopped meanwhile.

using checks = new ConstraintChecks()
const checked = checks.check({ type: 'json_schema', schema: { type: 'object' } })
console.log('checking')
await checked
console.log('passed')
