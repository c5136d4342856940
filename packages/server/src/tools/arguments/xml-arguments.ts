import { IncipitError, type TagPart } from '@incipit/engine/api'
import type { Tool } from '../tool.ts'
import {
  type ArgumentNotation,
  type ArgumentReader,
  overlap,
  type TakenArguments,
  withinJsonString,
} from './argument-reader.ts'
import { isOnly, isPlainString, membersOf, resolved, schemaOf, stringPattern, typeOf, typesOf } from './schema.ts'

/** How the value of an argument is written: strings as they are, other values as JSON. */
type Written = 'text' | 'json' | 'either'

const open = '<parameter='
const close = '\n</parameter>\n'
/** What follows the last argument. */
const over = '</function>'

/**
 * Arguments as Qwen3-Coder writes them, each in an element of its own:
 * `<parameter=NAME>`, a line with the value, `</parameter>`.
 */
export const xmlArguments: ArgumentNotation = {
  grammar(tool) {
    const parts = membersOf(schemaOf(tool.parameters)).map(({ name, schema, required }): TagPart => {
      const head = { begin: `${open}${name}>\n`, end: close, optional: !required }
      const root = schemaOf(tool.parameters)
      const written = writtenAs(schema, root)
      const own = resolved(schema, root)
      if (tool.strict && (written === 'either' || (written === 'text' && !isPlainString(own)))) {
        const message = `tools: ${tool.name}.${name} cannot be enforced whole in the way this model writes calls`
        throw new IncipitError('invalid_request', message, { param: 'tools' })
      }
      if (written === 'json') {
        const { $defs, definitions } = root
        const whole = { ...(typeof schema === 'boolean' ? {} : schemaOf(schema)), $defs, definitions }
        return { ...head, schema: whole, lenient: !tool.strict }
      }
      const pattern = written === 'text' ? stringPattern(own) : undefined
      return { ...head, ...(pattern !== undefined && { pattern }) }
    })
    return { parts }
  },
  reader: (tool) => new XmlArguments(tool),
}

function writtenAs(schema: unknown, root: ReturnType<typeof schemaOf>): Written {
  const types = typesOf(schema, root)
  if (isOnly(types, 'string')) return 'text'
  return types && !types.has('string') ? 'json' : 'either'
}

class XmlArguments implements ArgumentReader {
  readonly #tool: Tool
  /** The value that is being read. */
  #written: Written | undefined
  #name = ''
  #first = true

  constructor(tool: Tool) {
    this.#tool = tool
  }

  take(text: string): TakenArguments {
    let json = ''
    let length = 0
    for (;;) {
      const rest = text.slice(length)
      const step = this.#written === undefined ? this.#between(rest) : this.#value(rest, this.#written)
      json += step.json
      length += step.length
      if (step.ended) return { json, length, ended: true }
      if (step.length === 0) return { json, length, ended: false }
    }
  }

  clone(): XmlArguments {
    const copy = new XmlArguments(this.#tool)
    copy.#written = this.#written
    copy.#name = this.#name
    copy.#first = this.#first
    return copy
  }

  /** Where an argument begins, or the call ends. */
  #between(text: string): TakenArguments {
    const blank = text.length - text.trimStart().length
    const rest = text.slice(blank)
    if (isBegun(rest, open) || isBegun(rest, over)) return nothing
    const end = rest.indexOf('>')
    if (!rest.startsWith(open)) return { json: this.#first ? '{}' : '}', length: blank, ended: true }
    // Whether the line ends behind it is known when something follows.
    if (end < 0 || end + 1 >= rest.length) return nothing
    this.#name = rest.slice(open.length, end)
    const root = schemaOf(this.#tool.parameters)
    const schema = schemaOf(root.properties)[this.#name]
    this.#written = schema === undefined ? 'either' : writtenAs(schema, root)
    const separator = this.#first ? '{' : ', '
    this.#first = false
    const quote = this.#written === 'text' ? '"' : ''
    const length = blank + end + 1 + (rest[end + 1] === '\n' ? 1 : 0)
    return { json: `${separator}${JSON.stringify(this.#name)}: ${quote}`, length, ended: false }
  }

  #value(text: string, written: Written): TakenArguments {
    const end = text.indexOf(close)
    if (end < 0) {
      // What it is will be known at its end.
      if (written === 'either') return nothing
      const length = text.length - overlap(text, close)
      const said = text.slice(0, length)
      return { json: written === 'text' ? withinJsonString(said) : said, length, ended: false }
    }
    this.#written = undefined
    const said = text.slice(0, end)
    const json = written === 'text' ? `${withinJsonString(said)}"` : written === 'json' ? said : this.#either(said)
    return { json, length: end + close.length, ended: false }
  }

  /** JSON of a type that the schema allows, or else a text. */
  #either(said: string): string {
    const root = schemaOf(this.#tool.parameters)
    const types = typesOf(schemaOf(root.properties)[this.#name], root)
    try {
      const type = typeOf(JSON.parse(said))
      if (type !== 'string' && (types === undefined || types.has(type))) return said.trim()
    } catch {
      // It is a text.
    }
    return JSON.stringify(said)
  }
}

/** The text may become the marker. */
function isBegun(text: string, marker: string): boolean {
  return text.length < marker.length && marker.startsWith(text)
}

const nothing: TakenArguments = { json: '', length: 0, ended: false }
