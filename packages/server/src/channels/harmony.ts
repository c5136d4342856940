import type { Constraint, StructuralTag } from '@incipit/engine/api'
import type { Tool, ToolChoice } from '../tools/tool.ts'
import { callable } from '../tools/tool-constraint.ts'

/**
 * gpt-oss speaks in messages (OpenAI's "harmony"): each has a header, which names a channel and perhaps whom it is for,
 * and a text. It thinks in `analysis`, calls tools in `commentary`, where it may also say what it is about to do, and
 * answers in `final`. The prompt ends in the first header.
 */
export const harmony = {
  channel: '<|channel|>',
  message: '<|message|>',
  /** The end of a message that others follow. */
  end: '<|end|>',
  /** The header of the next one. */
  next: '<|start|>assistant',
} as const

/** Whether a model with this template speaks so. */
export function speaksInChannels(template: string | undefined): boolean {
  return template?.includes('<|channel|>final<|message|>') ?? false
}

const header = (channel: string) => `${harmony.channel}${channel}${harmony.message}`
const before = [header('analysis'), header('commentary')].map(
  (begin): StructuralTag => ({ begin, end: harmony.end + harmony.next }),
)

/** What stands in a message. */
type Content = Pick<StructuralTag, 'schema' | 'lenient' | 'pattern'>

/** A form of the reply as the content of a message; undefined for those that are none, such as a grammar. */
export function contentOf(form: Constraint): Content | undefined {
  switch (form.type) {
    case 'json_schema':
      return { schema: form.schema, lenient: form.lenient }
    case 'regex':
      return { pattern: form.pattern }
    case 'choice':
      return { pattern: form.choices.map(literal).join('|') }
    default:
      return undefined
  }
}

/** A regular expression for one text. */
function literal(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$#&~-]/g, '\\$&').replace(/\n/g, '\\n')
}

/**
 * What a reply in channels must look like.
 *
 * @param content what it must answer with, where it answers; undefined: any text
 * @param inAnswer the prompt ends in the answer: only that can go on
 */
export function channelConstraint(
  tools: readonly Tool[],
  choice: ToolChoice,
  content: Content | undefined,
  inAnswer: boolean,
): Constraint {
  if (inAnswer) return { type: 'channels', before: [], last: [{ begin: '', ...content, end: '' }] }
  const calls = choice === 'none' ? [] : callable(tools, choice).flatMap(callTags)
  const answer: StructuralTag = { begin: header('final'), ...content, end: '' }
  return { type: 'channels', before, last: choice === 'auto' || choice === 'none' ? [...calls, answer] : calls }
}

/** The places where a header may name the function that is called, in the order in which models use them. */
function callTags({ name, parameters, strict }: Tool): StructuralTag[] {
  const { channel, message } = harmony
  const begins = [
    `${channel}commentary to=functions.${name} <|constrain|>json${message}`,
    ` to=functions.${name}${channel}commentary json${message}`,
    ` to=functions.${name}${channel}commentary <|constrain|>json${message}`,
  ]
  return begins.map((begin) => ({ begin, schema: parameters, lenient: !strict, end: '' }))
}
