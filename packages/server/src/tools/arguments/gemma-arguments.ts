import { IncipitError, type TagPart } from '@incipit/engine/api'
import type { Tool } from '../tool.ts'
import {
  type ArgumentNotation,
  type ArgumentReader,
  overlap,
  type TakenArguments,
  withinJsonString,
} from './argument-reader.ts'
import { isOnly, isPlainString, membersOf, resolved, type Schema, schemaOf, stringPattern, typesOf } from './schema.ts'

/** Stands around texts. */
const quote = '<|"|>'

/** Arguments as Gemma 4 writes them: JSON without quotes around names, in the order of the names, and others around texts. */
export const gemmaArguments: ArgumentNotation = {
  grammar(tool) {
    const root = schemaOf(tool.parameters)
    return { parts: membersParts(root, { tool, root, depth: 0 }), separator: ',' }
  },
  reader: () => new GemmaArguments(),
}

interface Within {
  readonly tool: Tool
  readonly root: Schema
  readonly depth: number
}

/** Objects in objects, in a schema that may go on for ever. */
const maxDepth = 6

function membersParts(schema: Schema, within: Within): TagPart[] {
  return membersOf(schema)
    .toSorted((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1))
    .map((member) => ({ ...valueTag(`${member.name}:`, member.schema, within), optional: !member.required }))
}

/** @param begin what stands before the value */
function valueTag(begin: string, schema: unknown, within: Within): TagPart {
  const { tool, root, depth } = within
  const types = typesOf(schema, root)
  const own = resolved(schema, root)
  const deeper = { ...within, depth: depth + 1 }
  if (isOnly(types, 'number', 'boolean', 'null')) return { begin, schema: own, lenient: !tool.strict, end: '' }
  if (isOnly(types, 'array') && depth < maxDepth) {
    if (tool.strict && (own.minItems !== undefined || own.maxItems !== undefined)) refuse(tool)
    return { begin: `${begin}[`, items: valueTag('', own.items, deeper), separator: ',', end: ']' }
  }
  if (isOnly(types, 'object') && depth < maxDepth) {
    const parts = membersParts(own, deeper)
    if (parts.length > 0 || own.additionalProperties === false) {
      return { begin: `${begin}{`, parts, separator: ',', end: '}' }
    }
    const member = [
      { begin: '', pattern: '[A-Za-z_][A-Za-z0-9_]*', end: `:${quote}` },
      { begin: '', end: quote },
    ]
    return { begin: `${begin}{`, items: { begin: '', parts: member, end: '' }, separator: ',', end: '}' }
  }
  if (tool.strict && !(isOnly(types, 'string') && isPlainString(own))) refuse(tool)
  // What may be of several types is a text.
  const pattern = isOnly(types, 'string') ? stringPattern(own) : undefined
  return { begin: begin + quote, ...(pattern !== undefined && { pattern }), end: quote }
}

function refuse({ name }: Tool): never {
  const message = `tools: the schema of ${name} cannot be enforced whole in the way this model writes calls`
  throw new IncipitError('invalid_request', message, { param: 'tools' })
}

class GemmaArguments implements ArgumentReader {
  #begun = false
  #inText = false
  /** A name comes next. */
  #atName = true
  /** What is open within the arguments. */
  #open: readonly ('{' | '[')[] = []

  take(text: string): TakenArguments {
    let json = this.#begun ? '' : '{'
    this.#begun = true
    let length = 0
    for (;;) {
      const step = this.#inText ? this.#text(text.slice(length)) : this.#outside(text.slice(length))
      json += step.json
      length += step.length
      if (step.ended || step.length === 0) return { json, length, ended: step.ended }
    }
  }

  clone(): GemmaArguments {
    const copy = new GemmaArguments()
    copy.#begun = this.#begun
    copy.#inText = this.#inText
    copy.#atName = this.#atName
    copy.#open = this.#open
    return copy
  }

  #text(text: string): TakenArguments {
    const end = text.indexOf(quote)
    const length = end >= 0 ? end : text.length - overlap(text, quote)
    const json = withinJsonString(text.slice(0, length))
    if (end < 0) return { json, length, ended: false }
    this.#inText = false
    return { json: `${json}"`, length: end + quote.length, ended: false }
  }

  #outside(text: string): TakenArguments {
    if (text.length < quote.length && quote.startsWith(text)) return nothing
    if (text.startsWith(quote)) {
      this.#inText = true
      return { json: '"', length: quote.length, ended: false }
    }
    const character = text[0]!
    switch (character) {
      case '{':
      case '[':
        this.#open = [...this.#open, character]
        this.#atName = character === '{'
        return one(character)
      case '}':
      case ']':
        // The end of a call has this one, too.
        if (this.#open.length === 0) return { json: '}', length: 0, ended: true }
        this.#open = this.#open.slice(0, -1)
        return one(character)
      case ',':
        this.#atName = this.#open.at(-1) !== '['
        return one(', ')
      case ':':
        this.#atName = false
        return one(': ')
    }
    if (!this.#atName) return one(character)
    const end = text.indexOf(':')
    if (end < 0) return nothing
    return { json: JSON.stringify(text.slice(0, end).trim()), length: end, ended: false }
  }
}

function one(json: string): TakenArguments {
  return { json, length: 1, ended: false }
}

const nothing: TakenArguments = { json: '', length: 0, ended: false }
