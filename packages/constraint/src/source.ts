import { channelsLark } from './channels.ts'
import { ConstraintError } from './constraint-error.ts'
import type { Declared } from './declared.ts'
import { gbnfToLark } from './gbnf.ts'
import { jsonSchemaSource } from './json-schema.ts'
import { structuralTagLark } from './structural-tag.ts'
import type { Vocabulary } from './vocabulary.ts'

/** What llguidance compiles. */
export interface Source {
  readonly kind: 'schema' | 'lark' | 'regex'
  readonly text: string
}

/** Longest source, in UTF-16 units. */
const maxSource = 1 << 20

/** @throws ConstraintError */
export function sourceOf(declared: Declared, vocabulary: Pick<Vocabulary, 'controlTokens'>): Source {
  const source = translated(declared, vocabulary)
  if (source.text.length > maxSource) {
    throw new ConstraintError(`${source.text.length} characters are too many; at most ${maxSource} are taken`)
  }
  return source
}

function translated(declared: Declared, { controlTokens }: Pick<Vocabulary, 'controlTokens'>): Source {
  switch (declared.type) {
    case 'json_schema':
      return { kind: 'schema', text: jsonSchemaSource(declared.schema, declared.lenient) }
    case 'regex':
      return { kind: 'regex', text: declared.pattern }
    case 'grammar': {
      const { grammar, syntax = grammar.includes('::=') ? 'gbnf' : 'lark' } = declared
      return { kind: 'lark', text: syntax === 'gbnf' ? gbnfToLark(grammar) : grammar }
    }
    case 'choice': {
      const { choices } = declared
      if (choices.length === 0) throw new ConstraintError('a choice of nothing')
      if (choices.includes('')) throw new ConstraintError('an empty text cannot be chosen')
      return { kind: 'lark', text: `start: CHOICE\nCHOICE: ${choices.map((text) => JSON.stringify(text)).join(' | ')}` }
    }
    case 'structural_tag':
      return { kind: 'lark', text: structuralTagLark(declared, controlTokens) }
    case 'channels':
      return { kind: 'lark', text: channelsLark(declared, controlTokens) }
  }
}
