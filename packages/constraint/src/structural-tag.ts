import { ConstraintError } from './constraint-error.ts'
import type { Declared, StructuralTag } from './declared.ts'
import { TagRules } from './tag-rules.ts'

type StructuralTags = Extract<Declared, { type: 'structural_tag' }>

/**
 * Free text with tags in it. A lazy lexeme ends with the first trigger; from there one of its tags must follow.
 * @param controls control tokens by their text
 * @throws ConstraintError
 */
export function structuralTagLark(declared: StructuralTags, controls: ReadonlyMap<string, number> = new Map()): string {
  const byTrigger = tagsByTrigger(declared)
  const rules = new TagRules(controls)
  const own = byTrigger.flatMap(([trigger, tags], i) => [
    `body_${i}: ${tags.map((tag) => rules.tag(tag, trigger.length)).join(' | ')}`,
    `call_${i}: ${rules.literals(trigger)} body_${i}`,
    `tag_${i}: ${rules.upTo(trigger)} body_${i}`,
  ])
  const any = (name: string) => `(${byTrigger.map((_, i) => `${name}_${i}`).join(' | ')})`
  const { otherwise } = declared
  const value = otherwise ? rules.json(otherwise.schema, otherwise.lenient) : undefined
  const start = startOf(declared, { tag: any('tag'), call: any('call'), value, text: rules.text })
  return [`start: ${start}`, ...own, ...rules.lines].join('\n')
}

function startOf(
  { atLeastOne, stopAfterFirst }: StructuralTags,
  { tag, call, value, text }: { tag: string; call: string; value: string | undefined; text: string },
): string {
  const calls = stopAfterFirst ? call : `${call} (/\\s?/ ${call})*`
  if (atLeastOne) return calls
  if (value) return `${value} | ${calls}`
  return stopAfterFirst ? `${text} | ${tag}` : `${tag}* ${text}`
}

function tagsByTrigger({ tags, triggers }: StructuralTags): [trigger: string, tags: StructuralTag[]][] {
  if (tags.length === 0) throw new ConstraintError('no tags')
  const byTrigger = new Map(triggers.map((trigger): [string, StructuralTag[]] => [trigger, []]))
  if (byTrigger.has('')) throw new ConstraintError('a trigger must not be empty')
  for (const tag of tags) {
    const trigger = triggers.find((text) => tag.begin.startsWith(text))
    if (trigger === undefined) throw new ConstraintError(`the tag ${JSON.stringify(tag.begin)} begins with no trigger`)
    byTrigger.get(trigger)!.push(tag)
  }
  return [...byTrigger].filter(([, of]) => of.length > 0)
}
