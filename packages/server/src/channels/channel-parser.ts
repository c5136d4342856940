import type { Part, PartReader } from '../reply/part.ts'
import { type ArgumentReader, overlap } from '../tools/arguments/argument-reader.ts'
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
export class ChannelParser implements PartReader {
  readonly #shape: ChannelShape
  #state: State
  /** Text that was not told yet. */
  #held = ''
  #reader: ArgumentReader | undefined
  /** Something of the kind was told: a further message of it is a paragraph of its own. */
  #thought = false
  #said = false
  #atBegin = false

  constructor(shape: ChannelShape) {
    this.#shape = shape
    this.#state = shape.inAnswer ? 'content' : 'header'
  }

  get inContent(): boolean {
    return this.#state === 'content' || this.#state === 'header'
  }

  get inReasoning(): boolean {
    return this.#state === 'reasoning'
  }

  feed(text: string): Part[] {
    this.#held += text
    const parts: Part[] = []
    while (this.#step(parts)) {
      // Until more text is needed.
    }
    return parts
  }

  end(): Part[] {
    const held = this.#held
    this.#held = ''
    // A header without a message is nothing.
    if (held === '' || (this.#state !== 'reasoning' && this.#state !== 'content')) return []
    return [{ type: this.#state, text: held }]
  }

  clone(): ChannelParser {
    const copy = new ChannelParser(this.#shape)
    copy.#state = this.#state
    copy.#held = this.#held
    copy.#reader = this.#reader?.clone()
    copy.#thought = this.#thought
    copy.#said = this.#said
    copy.#atBegin = this.#atBegin
    return copy
  }

  #step(parts: Part[]): boolean {
    if (this.#held === '') return false
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
    const at = this.#held.indexOf(harmony.message)
    if (at < 0) {
      if (mayBeHeader(this.#held)) return false
      // It answers without more ado.
      this.#state = 'content'
      return true
    }
    const header = this.#held.slice(0, at)
    this.#held = this.#held.slice(at + harmony.message.length)
    this.#atBegin = true
    const name = / to=functions\.([^\s<]+)/.exec(header)?.[1]
    const tool = this.#shape.tools.find((tool) => tool.name === name)
    if (tool) {
      parts.push({ type: 'call', id: newCallId(), name: tool.name })
      this.#reader = jsonArguments.reader(tool)
      this.#state = 'arguments'
      return true
    }
    this.#state = header.includes(`${harmony.channel}analysis`) && this.#shape.reasoning ? 'reasoning' : 'content'
    return true
  }

  #arguments(parts: Part[]): boolean {
    const { json, length, ended } = this.#reader!.take(this.#held)
    if (json !== '') parts.push({ type: 'arguments', text: json })
    this.#held = this.#held.slice(length)
    if (!ended) return false
    parts.push({ type: 'call_end' })
    this.#state = 'over'
    return true
  }

  /** The text of a message, up to its end. */
  #body(tell: (text: string) => void): boolean {
    const found = ends
      .map((end) => ({ end, at: this.#held.indexOf(end) }))
      .filter(({ at }) => at >= 0)
      .toSorted((a, b) => a.at - b.at)[0]
    const length = found?.at ?? this.#held.length - Math.max(...ends.map((end) => overlap(this.#held, end)))
    if (length > 0) tell(this.#held.slice(0, length))
    this.#held = this.#held.slice(length + (found?.end.length ?? 0))
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
