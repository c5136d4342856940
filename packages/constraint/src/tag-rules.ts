import type { StructuralTag, TagPart } from './declared.ts'
import { jsonSchemaSource } from './json-schema.ts'

/** A regular expression for any text. */
const anyText = '(?s:.*)'

/** The rules of a Lark grammar that tags are made of. */
export class TagRules {
  readonly #controls: ReadonlyMap<string, number>
  /** Names by what they stand for: what several tags have in common is compiled once. */
  readonly #rules = new Map<string, string>()

  /** @param controls control tokens by their text */
  constructor(controls: ReadonlyMap<string, number>) {
    this.#controls = controls
  }

  /** Lines of the grammar, for all that was asked for so far. */
  get lines(): string[] {
    return [...this.#rules].map(([body, name]) => `${name}${body}`)
  }

  /** Any text without control tokens. */
  get text(): string {
    return this.#rule('text', `: /${anyText}/`)
  }

  /** Whether a text begins with a control token. */
  beginsWithControl(text: string): boolean {
    return [...this.#controls.keys()].some((name) => name !== '' && text.startsWith(name))
  }

  /** A text as literals, and control tokens in it as tokens. */
  literals(text: string): string {
    return literals(text, this.#controls).join(' ')
  }

  /** A value of a schema. */
  json(schema: unknown, lenient: boolean | undefined): string {
    return this.#rule('json', `: %json ${jsonSchemaSource(schema, lenient)}`)
  }

  /** Text of a pattern up to the first place where the other one stands, and that. */
  upTo(end: string, pattern = anyText): string {
    const [first, ...rest] = literals(end, this.#controls)
    const text = `/${pattern.replaceAll('/', '\\/')}/`
    if (first === undefined || this.beginsWithControl(end)) {
      // A control token is no text: what stands before it ends by itself.
      const before = pattern === anyText ? this.text : this.#rule('text', `: ${text}`)
      return [before, first, ...rest].filter((part) => part !== undefined).join(' ')
    }
    return [this.#rule('upto', `[lazy]: ${text} ${first}`), ...rest].join(' ')
  }

  /** @param said how much of the beginning was said */
  tag(tag: StructuralTag, said = 0): string {
    const begin = this.literals(tag.begin.slice(said))
    const { schema, lenient, parts, items, separator, end, pattern } = tag
    if (schema === undefined && !parts && !items) return join(begin, this.upTo(end, pattern))
    const between = parts
      ? this.#sequence(parts, separator)
      : items
        ? this.#repeated(items, separator)
        : this.json(schema, lenient)
    return join(begin, between, this.literals(end))
  }

  #sequence(parts: readonly TagPart[], separator = ''): string {
    const told = parts.map((part) => ({ rule: this.#rule('part', `: ${this.tag(part)}`), optional: part.optional }))
    if (separator === '') return told.map(({ rule, optional }) => (optional ? `${rule}?` : rule)).join(' ')
    // From the last one to the first: what may follow when something was said before, and when nothing was.
    let first = ''
    let rest = ''
    for (const { rule, optional } of told.toReversed()) {
      const next = join(rule, rest)
      const later = join(this.literals(separator), next)
      first = this.#optionally(next, optional ? first : undefined)
      rest = this.#optionally(later, optional ? rest : undefined)
    }
    return first
  }

  /** One text, or instead of it another, which may be empty. */
  #optionally(text: string, other: string | undefined): string {
    if (other === undefined) return this.#rule('seq', `: ${text}`)
    return other === '' ? `${this.#rule('seq', `: ${text}`)}?` : this.#rule('seq', `: ${text} | ${other}`)
  }

  #repeated(items: StructuralTag, separator = ''): string {
    const item = this.#rule('item', `: ${this.tag(items)}`)
    return `(${item} (${join(this.literals(separator), item)})*)?`
  }

  #rule(kind: string, body: string): string {
    const known = this.#rules.get(body)
    if (known !== undefined) return known
    const name = `${kind}_${this.#rules.size}`
    this.#rules.set(body, name)
    return name
  }
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' ')
}

function literals(text: string, controls: ReadonlyMap<string, number>): string[] {
  if (text === '') return []
  const found = [...controls].find(([name]) => name !== '' && text.includes(name))
  if (found === undefined) return [JSON.stringify(text)]
  const [name, token] = found
  const at = text.indexOf(name)
  return [...literals(text.slice(0, at), controls), `<[${token}]>`, ...literals(text.slice(at + name.length), controls)]
}
