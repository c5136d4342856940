import { Constraints } from './constraints.ts'
import type { Declared } from './declared.ts'
import type { Matcher } from './matcher.ts'
import type { Vocabulary } from './vocabulary.ts'

const byVocabulary = new WeakMap<Vocabulary, Constraints>()

/** A compiler for `EngineOptions.constraints` of @incipit/engine; what a vocabulary takes is made once. */
export default function compile(declared: Declared, vocabulary: Vocabulary): Matcher {
  let constraints = byVocabulary.get(vocabulary)
  if (constraints === undefined) {
    constraints = new Constraints(vocabulary)
    byVocabulary.set(vocabulary, constraints)
  }
  return constraints.compile(declared)
}
