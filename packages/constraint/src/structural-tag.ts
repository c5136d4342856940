import { ConstraintError } from './constraint-error.ts'
import type { Declared, StructuralTag } from './declared.ts'
import { jsonSchemaSource } from './json-schema.ts'

type StructuralTags = Extract<Declared, { type: 'structural_tag' }>

/**
 * Free text with tags in it. A lazy lexeme ends with the first trigger; from there one of its tags must follow.
 * @param controls control tokens by their text
 * @throws ConstraintError
 */
export function structuralTagLark(declared: StructuralTags, controls: ReadonlyMap<string, number> = new Map()): string {
  const byTrigger = tagsByTrigger(declared)
  const written = (text: string) => literals(text, controls)
  const rules = byTrigger.flatMap(([trigger, tags], i) => {
    const bodies = tags.map(({ begin, schema, lenient, end }) =>
      [written(begin.slice(trigger.length)), `%json ${jsonSchemaSource(schema, lenient)}`, written(end)]
        .filter((part) => part !== '')
        .join(' '),
    )
    // A control token is no text: what stands before it ends by itself.
    const control = controls.has(trigger)
    return [
      `body_${i}: ${bodies.join(' | ')}`,
      `call_${i}: ${written(trigger)} body_${i}`,
      control ? `trigger_${i}: text ${written(trigger)}` : `trigger_${i}[lazy]: /(?s:.*)/ ${JSON.stringify(trigger)}`,
      `tag_${i}: trigger_${i} body_${i}`,
    ]
  })
  const any = (name: string) => `(${byTrigger.map((_, i) => `${name}_${i}`).join(' | ')})`
  const { otherwise } = declared
  return [
    `start: ${start(declared, any('tag'), any('call'))}`,
    ...rules,
    'text: /(?s:.*)/',
    ...(otherwise ? [`otherwise: %json ${jsonSchemaSource(otherwise.schema, otherwise.lenient)}`] : []),
  ].join('\n')
}

function start({ atLeastOne, stopAfterFirst, otherwise }: StructuralTags, tag: string, call: string): string {
  const calls = stopAfterFirst ? call : `${call} (/\\s?/ ${call})*`
  if (atLeastOne) return calls
  if (otherwise) return `otherwise | ${calls}`
  return stopAfterFirst ? `text | ${tag}` : `${tag}* text`
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

/** A text as literals, and control tokens in it as tokens. */
function literals(text: string, controls: ReadonlyMap<string, number>): string {
  const found = [...controls].find(([name]) => name !== '' && text.includes(name))
  if (found === undefined) return text === '' ? '' : JSON.stringify(text)
  const [name, token] = found
  const at = text.indexOf(name)
  const parts = [
    literals(text.slice(0, at), controls),
    `<[${token}]>`,
    literals(text.slice(at + name.length), controls),
  ]
  return parts.filter((part) => part !== '').join(' ')
}
