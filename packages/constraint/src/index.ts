export { Constraints } from './constraints.ts'
export { Matcher } from './matcher.ts'
export type { Declared, Vocabulary } from './vocabulary.ts'
export { ConstraintError } from './wasm.ts'
