import { overlap } from '../tools/arguments/argument-reader.ts'
import { newCallId } from '../tools/call-id.ts'
import { HoldingReader } from './holding-reader.ts'
import type { Part } from './part.ts'
import type { ReplyShape } from './reply-shape.ts'

type State =
  /** Nothing but perhaps the beginning of the start marker. */
  | 'begin'
  | 'reasoning'
  | 'content'
  /** Behind a trigger: which tool is called? */
  | 'head'
  | 'arguments'
  /** What follows the arguments. */
  | 'tail'

/**
 * Tells reasoning, content and calls of tools apart in a reply that comes piece by piece, wherever the pieces end. What may
 * still become a marker is held back.
 */
export class ReplyParser extends HoldingReader {
  readonly #shape: ReplyShape
  #state: State
  /** White space around reasoning and calls is nobody's. */
  #trims: boolean
  /** White space of the content that is told when more follows. */
  #blank = ''

  constructor(shape: ReplyShape) {
    super()
    this.#shape = shape
    const at = shape.reasoning?.at
    this.#state = at === 'open' ? 'reasoning' : at === 'optional' ? 'begin' : 'content'
    this.#trims = at !== undefined
    this.held = shape.lead ?? ''
  }

  override get inContent(): boolean {
    return this.#state === 'content' || this.#state === 'begin'
  }

  override get inReasoning(): boolean {
    return this.#state === 'reasoning'
  }

  override end(): Part[] {
    const held = this.held
    this.held = ''
    const blank = this.#trims ? '' : this.#blank
    this.#blank = ''
    if (held === '' && blank === '') return []
    if (this.#state === 'reasoning') return [{ type: 'reasoning', text: held }]
    if (this.#state === 'begin' || this.#state === 'content') {
      return blank + held === '' ? [] : [{ type: 'content', text: blank + held }]
    }
    // What is left of a call that was cut off says nothing by itself.
    return []
  }

  override clone(): ReplyParser {
    const copy = new ReplyParser(this.#shape)
    copy.#state = this.#state
    this.copyHeld(copy)
    copy.#trims = this.#trims
    copy.#blank = this.#blank
    return copy
  }

  protected override step(parts: Part[]): boolean {
    switch (this.#state) {
      case 'begin':
        return this.#begin()
      case 'reasoning':
        return this.#reasoning(parts)
      case 'content':
        return this.#text(parts)
      case 'head':
        return this.#head(parts)
      case 'arguments':
        return this.#arguments(parts)
      case 'tail':
        return this.#tail()
    }
  }

  #begin(): boolean {
    const { start } = this.#shape.reasoning!
    const text = this.held.trimStart()
    if (text.startsWith(start)) {
      this.held = text.slice(start.length)
      this.#state = 'reasoning'
      return true
    }
    if (start.startsWith(text)) return false
    // It does not think: its white space is its own.
    this.#trims = false
    this.#state = 'content'
    return true
  }

  #reasoning(parts: Part[]): boolean {
    const { end } = this.#shape.reasoning!
    const at = this.held.indexOf(end)
    const length = at >= 0 ? at : this.held.length - overlap(this.held, end)
    if (length > 0) parts.push({ type: 'reasoning', text: this.held.slice(0, length) })
    this.held = this.held.slice(at >= 0 ? at + end.length : length)
    if (at < 0) return false
    this.#state = 'content'
    return true
  }

  #text(parts: Part[]): boolean {
    const { tools } = this.#shape
    if (tools === undefined) {
      parts.push(...this.#content(this.held))
      this.held = ''
      return false
    }
    const { trigger } = tools.format
    const at = this.held.indexOf(trigger)
    const length = at >= 0 ? at : this.held.length - overlap(this.held, trigger)
    parts.push(...this.#content(this.held.slice(0, length)))
    this.held = this.held.slice(length)
    if (at < 0) return false
    this.#state = 'head'
    return true
  }

  #head(parts: Part[]): boolean {
    const { format, tools } = this.#shape.tools!
    const begins = tools.map((tool) => ({ tool, begin: format.begin(tool.name) }))
    const found = begins.find(({ begin }) => this.held.startsWith(begin))
    if (found) {
      parts.push({ type: 'call', id: newCallId(), name: found.tool.name })
      this.held = this.held.slice(found.begin.length)
      this.reader = format.arguments.reader(found.tool)
      this.#state = 'arguments'
      return true
    }
    if (begins.some(({ begin }) => begin.startsWith(this.held))) return false
    // Text that only looks like a call.
    parts.push(...this.#content(this.held.slice(0, format.trigger.length)))
    this.held = this.held.slice(format.trigger.length)
    this.#state = 'content'
    return true
  }

  #arguments(parts: Part[]): boolean {
    if (!this.takeArguments(parts)) return false
    this.#blank = ''
    this.#trims = true
    this.#state = 'tail'
    return true
  }

  #tail(): boolean {
    const { end } = this.#shape.tools!.format
    if (this.held.length < end.length && end.startsWith(this.held)) return false
    if (this.held.startsWith(end)) this.held = this.held.slice(end.length)
    this.#state = 'content'
    return true
  }

  /** Content without the white space that stands beside reasoning and calls. */
  #content(text: string): Part[] {
    if (!this.#trims && this.#shape.tools === undefined) return text === '' ? [] : [{ type: 'content', text }]
    const whole = this.#blank + text
    const said = this.#trims ? whole.trimStart() : whole
    if (said === '') {
      this.#blank = this.#trims ? '' : whole
      return []
    }
    this.#trims = false
    // What stands at the end may stand before a call.
    const kept = this.#shape.tools === undefined ? said : said.trimEnd()
    this.#blank = said.slice(kept.length)
    return kept === '' ? [] : [{ type: 'content', text: kept }]
  }
}
