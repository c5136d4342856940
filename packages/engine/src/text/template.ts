import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'
import { IncipitError } from '../api/errors.ts'
import { type ReasoningMarkers, reasoningMarkers } from '../api/reasoning.ts'
import type { ChatMessage, ChatTemplateOptions } from '../api/request.ts'
import { strftime } from './strftime.ts'

export interface TemplateOptions extends ChatTemplateOptions {
  /** What `strftime_now` tells, in local time. Default: the moment of rendering. */
  now?: Date
}

/** Where the content of a conversation's last message stands in the prompt, whatever that content is. */
export interface ContentPlace {
  before: string
  after: string
  /** Whether the template leaves out white space at the content's beginning, and at its end. */
  trimsStart: boolean
  trimsEnd: boolean
}

// White space that no template writes by itself: next to the marker it is the content's.
const pad = '\u2003'

/**
 * A model's own chat template (Jinja), parsed once. The globals are those that Hugging Face transformers gives to a
 * template: `messages`, `tools`, `documents`, `add_generation_prompt`, `bos_token`, `eos_token`, `raise_exception` and
 * `strftime_now`.
 */
export class ChatTemplate {
  readonly #program: ReturnType<typeof parse>
  readonly #source: string
  readonly #specials: { bosToken: string; eosToken: string }
  #suffix: string | undefined

  /**
   * @param specials text of the special tokens; empty where the model has none or the tokenizer adds it by itself
   * @throws IncipitError `chat_template` when the source is not a template
   */
  constructor(source: string, specials: { bosToken: string; eosToken: string }) {
    this.#source = source
    this.#specials = specials
    try {
      this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
    } catch (cause) {
      throw new IncipitError('chat_template', `the chat template cannot be parsed: ${messageOf(cause)}`, { cause })
    }
  }

  /** Jinja. */
  get source(): string {
    return this.#source
  }

  /** How the model marks its reasoning, as far as the template knows. */
  get reasoning(): ReasoningMarkers | undefined {
    return reasoningMarkers(this.#source)
  }

  /**
   * The prompt text for these messages, special tokens written out.
   *
   * @throws IncipitError `chat_template` with the template's own message when it rejects the messages, or with the
   *   reason why it cannot be run
   */
  render(messages: readonly ChatMessage[], options: TemplateOptions = {}): string {
    if (options.continueFinal) return this.#continued(messages, options)
    const environment = new Environment()
    for (const [name, value] of Object.entries(this.#globals(messages, options))) environment.set(name, value)
    try {
      const result: { value: unknown } = new Interpreter(environment).run(this.#program)
      return String(result.value)
    } catch (cause) {
      const what = cause instanceof Rejection ? 'the chat template rejected the messages' : 'the chat template failed'
      throw new IncipitError('chat_template', `${what}: ${messageOf(cause)}`, { cause, param: 'messages' })
    }
  }

  /**
   * The text between the content of a last user message and the reply: what every prompt of this template ends with.
   * Empty when that cannot be determined, because the template alters or repeats the content.
   */
  generationSuffix(): string {
    this.#suffix ??= this.#findSuffix()
    return this.#suffix
  }

  /** The text between the content of a reply and that of the user's next message; empty where that cannot be determined. */
  betweenTurns(): string {
    const reply = 'ReplyContentMarker'
    const turns = [
      { role: 'user', content: 'Hello.' },
      { role: 'assistant', content: reply },
    ]
    const before = this.contentPlace([...turns, { role: 'user', content: '' }])?.before ?? ''
    const end = before.lastIndexOf(reply)
    return end < 0 ? '' : before.slice(end + reply.length)
  }

  /**
   * Renders once, with a word in place of the last message's content, to find where that content stands. Undefined when
   * there is no such place, because the template alters or repeats the content, and when it rejects the messages. What it
   * does with a particular content, such as a switch in it, cannot be known here.
   */
  contentPlace(messages: readonly ChatMessage[], options: TemplateOptions = {}): ContentPlace | undefined {
    const last = messages.at(-1)
    if (last === undefined) return undefined
    // Mixed case: a change of case destroys it.
    let marker = 'OpenContentMarker'
    while (this.#source.includes(marker) || messages.some((m) => m.content.includes(marker))) marker += 'Xy'
    let text: string
    try {
      text = this.render([...messages.slice(0, -1), { ...last, content: pad + marker + pad }], options)
    } catch (error) {
      if (error instanceof IncipitError) return undefined
      throw error
    }
    const start = text.indexOf(marker)
    if (start < 0 || text.lastIndexOf(marker) !== start) return undefined
    const end = start + marker.length
    const trimsStart = text[start - 1] !== pad
    const trimsEnd = text[end] !== pad
    return {
      before: text.slice(0, trimsStart ? start : start - 1),
      after: text.slice(trimsEnd ? end : end + 1),
      trimsStart,
      trimsEnd,
    }
  }

  /** gpt-oss calls reasoning so. */
  get #namesThinking(): boolean {
    return this.#source.includes('message.thinking')
  }

  #continued(messages: readonly ChatMessage[], { continueFinal: _, ...options }: TemplateOptions): string {
    const place = this.contentPlace(messages, { ...options, addGenerationPrompt: false })
    if (place === undefined) {
      const message = 'the chat template does not show the last message as it is, so that it cannot be continued'
      throw new IncipitError('chat_template', message, { param: 'messages' })
    }
    const { content } = messages.at(-1)!
    const start = place.trimsStart ? content.trimStart() : content
    return place.before + (place.trimsEnd ? start.trimEnd() : start)
  }

  #findSuffix(): string {
    const user = { role: 'user', content: '' }
    // A template may insist on a system message, or refuse one.
    for (const messages of [[user], [{ role: 'system', content: 'Answer.' }, user]]) {
      const place = this.contentPlace(messages)
      if (place !== undefined) return place.after
    }
    return ''
  }

  // The library's `Template.render` refuses to replace its own `strftime_now`, which reads the clock; so the
  // environment is built here. Absent tools and documents are `none` and not undefined, as in transformers.
  #globals(messages: readonly ChatMessage[], options: TemplateOptions): Record<string, unknown> {
    const { addGenerationPrompt = true, tools, variables, now } = options
    return {
      ...variables,
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      range,
      raise_exception: (message: unknown): never => {
        throw new Rejection(String(message))
      },
      strftime_now: (format: unknown): string => strftime(now ?? new Date(), String(format)),
      messages: messages.map((message) => forTemplate(this.#namesThinking ? asThinking(message) : message)),
      // A template asks whether there are any.
      tools: tools?.length ? tools : null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      bos_token: this.#specials.bosToken,
      eos_token: this.#specials.eosToken,
    }
  }
}

/** Such templates take no message that calls tools, thinks and speaks: what was said is among the thoughts there. */
function asThinking({ reasoning, ...message }: ChatMessage): ChatMessage & { readonly thinking?: string } {
  if (reasoning === undefined) return message
  const { content, toolCalls } = message
  if (!toolCalls || content === '') return { ...message, thinking: reasoning }
  return { ...message, content: '', thinking: `${reasoning}\n\n${content}` }
}

/** A message as Hugging Face's templates know it. Arguments of calls are objects there. */
function forTemplate({ reasoning, toolCalls, toolCallId, ...message }: ChatMessage): Record<string, unknown> {
  return {
    ...message,
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(toolCalls && {
      tool_calls: toolCalls.map(({ id, name, arguments: text }) => ({
        ...(id !== undefined && { id }),
        type: 'function',
        function: { name, arguments: argumentsOf(text) },
      })),
    }),
  }
}

function argumentsOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** What `raise_exception` throws, to tell a template's refusal from a fault in it. */
class Rejection extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Python's `range`. */
function range(from: number, to?: number, step = 1): number[] {
  const [start, stop] = to === undefined ? [0, from] : [from, to]
  if (step === 0) throw new Error('range() step must not be zero')
  const count = Math.max(0, Math.ceil((stop - start) / step))
  return Array.from({ length: count }, (_, i) => start + i * step)
}
