import { HoldingReader } from '../reply/holding-reader.ts'
import type { Part } from '../reply/part.ts'
import { overlap } from '../tools/arguments/argument-reader.ts'
import { jsonArguments } from '../tools/arguments/json-arguments.ts'
import { newCallId } from '../tools/call-id.ts'
import type { Tool } from '../tools/tool.ts'
import { harmony } from './harmony.ts'

/** What is told apart in a reply that is said in channels. */
export interface ChannelShape {
  /** What is thought is told apart; otherwise it is content. */
  readonly reasoning: boolean
  /** The prompt ends in the answer, and not in a header. */
  readonly inAnswer: boolean
  readonly tools: readonly Tool[]
}

type State =
  /** In the header of a message. */
  | 'header'
  | 'reasoning'
  | 'content'
  | 'arguments'
  /** Behind the arguments of a call. */
  | 'over'

/** What ends a message, where the engine shows it. */
const ends = [harmony.end, '<|call|>', '<|return|>']
const blankLine = '\n\n'

/** Tells reasoning, content and calls of tools apart in a reply that is said in channels and comes piece by piece. */
export class ChannelParser extends HoldingReader {
  readonly #shape: ChannelShape
  #state: State
  /** Something of the kind was told: a further message of it is a paragraph of its own. */
  #thought = false
  #said = false
  #atBegin = false

  constructor(shape: ChannelShape) {
    super()
    this.#shape = shape
    this.#state = shape.inAnswer ? 'content' : 'header'
  }

  override get inContent(): boolean {
    return this.#state === 'content' || this.#state === 'header'
  }

  override get inReasoning(): boolean {
    return this.#state === 'reasoning'
  }

  override end(): Part[] {
    const held = this.held
    this.held = ''
    // A header without a message is nothing.
    if (held === '' || (this.#state !== 'reasoning' && this.#state !== 'content')) return []
    return [{ type: this.#state, text: held }]
  }

  override clone(): ChannelParser {
    const copy = new ChannelParser(this.#shape)
    copy.#state = this.#state
    this.copyHeld(copy)
    copy.#thought = this.#thought
    copy.#said = this.#said
    copy.#atBegin = this.#atBegin
    return copy
  }

  protected override step(parts: Part[]): boolean {
    switch (this.#state) {
      case 'header':
        return this.#header(parts)
      case 'arguments':
        return this.#arguments(parts)
      case 'over':
        return this.#body(() => {})
      case 'reasoning':
        return this.#body((text) => {
          parts.push({ type: 'reasoning', text: this.#paragraph(text, this.#thought) })
          this.#thought = true
        })
      case 'content':
        return this.#body((text) => {
          parts.push({ type: 'content', text: this.#paragraph(text, this.#said) })
          this.#said = true
        })
    }
  }

  #paragraph(text: string, another: boolean): string {
    const begins = this.#atBegin && another
    this.#atBegin = false
    return begins ? blankLine + text : text
  }

  #header(parts: Part[]): boolean {
    const at = this.held.indexOf(harmony.message)
    if (at < 0) {
      if (mayBeHeader(this.held)) return false
      // It answers without more ado.
      this.#state = 'content'
      return true
    }
    const header = this.held.slice(0, at)
    this.held = this.held.slice(at + harmony.message.length)
    this.#atBegin = true
    const name = / to=functions\.([^\s<]+)/.exec(header)?.[1]
    const tool = this.#shape.tools.find((tool) => tool.name === name)
    if (tool) {
      parts.push({ type: 'call', id: newCallId(), name: tool.name })
      this.reader = jsonArguments.reader(tool)
      this.#state = 'arguments'
      return true
    }
    this.#state = header.includes(`${harmony.channel}analysis`) && this.#shape.reasoning ? 'reasoning' : 'content'
    return true
  }

  #arguments(parts: Part[]): boolean {
    if (!this.takeArguments(parts)) return false
    this.#state = 'over'
    return true
  }

  /** The text of a message, up to its end. */
  #body(tell: (text: string) => void): boolean {
    const found = ends
      .map((end) => ({ end, at: this.held.indexOf(end) }))
      .filter(({ at }) => at >= 0)
      .toSorted((a, b) => a.at - b.at)[0]
    const length = found?.at ?? this.held.length - Math.max(...ends.map((end) => overlap(this.held, end)))
    if (length > 0) tell(this.held.slice(0, length))
    this.held = this.held.slice(length + (found?.end.length ?? 0))
    if (!found) return false
    this.#state = 'header'
    return true
  }
}

const beginnings = [harmony.next, harmony.channel, ' to=']

/** Whether a text without the end of a header may become one. */
function mayBeHeader(text: string): boolean {
  return beginnings.some((begin) => text.startsWith(begin) || begin.startsWith(text))
}
