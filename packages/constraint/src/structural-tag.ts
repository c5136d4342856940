import { ConstraintError } from './constraint-error.ts'
import type { Declared, StructuralTag } from './declared.ts'
import { jsonSchemaSource } from './json-schema.ts'

/**
 * Free text with tags in it. A lazy lexeme ends with the first trigger; from there one of its tags must follow.
 * @throws ConstraintError
 */
export function structuralTagLark({ tags, triggers }: Extract<Declared, { type: 'structural_tag' }>): string {
  if (tags.length === 0) throw new ConstraintError('no tags')
  const byTrigger = new Map(triggers.map((trigger): [string, StructuralTag[]] => [trigger, []]))
  if (byTrigger.has('')) throw new ConstraintError('a trigger must not be empty')
  for (const tag of tags) {
    const trigger = triggers.find((text) => tag.begin.startsWith(text))
    if (trigger === undefined) throw new ConstraintError(`the tag ${JSON.stringify(tag.begin)} begins with no trigger`)
    byTrigger.get(trigger)!.push(tag)
  }
  const used = [...byTrigger].filter(([, of]) => of.length > 0)
  const rules = used.flatMap(([trigger, of], i) => {
    const bodies = of.map(({ begin, schema, end }) =>
      [begin.slice(trigger.length), { schema }, end]
        .filter((part) => part !== '')
        .map((part) => (typeof part === 'string' ? JSON.stringify(part) : `%json ${jsonSchemaSource(part.schema)}`))
        .join(' '),
    )
    return [
      `trigger_${i}[lazy]: /(?s:.*)/ ${JSON.stringify(trigger)}`,
      `tag_${i}: trigger_${i} (${bodies.join(' | ')})`,
    ]
  })
  return [`start: (${used.map((_, i) => `tag_${i}`).join(' | ')})* text`, ...rules, 'text: /(?s:.*)/'].join('\n')
}
