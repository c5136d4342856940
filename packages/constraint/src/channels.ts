import { ConstraintError } from './constraint-error.ts'
import type { Declared } from './declared.ts'
import { TagRules } from './tag-rules.ts'

type Channels = Extract<Declared, { type: 'channels' }>

/**
 * Nothing but tags: any number of some, then one of others.
 * @param controls control tokens by their text
 * @throws ConstraintError
 */
export function channelsLark({ before, last }: Channels, controls: ReadonlyMap<string, number> = new Map()): string {
  if (last.length === 0) throw new ConstraintError('no tag to end with')
  const rules = new TagRules(controls)
  const any = (tags: Channels['last']) => tags.map((tag) => rules.tag(tag)).join(' | ')
  const ending = any(last)
  const beginning = before.length > 0 ? `(${any(before)})* ` : ''
  return [`start: ${beginning}last`, `last: ${ending}`, ...rules.lines].join('\n')
}
