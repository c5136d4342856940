import type { ChatMessage } from '@incipit/engine/api'
import type { Said } from '../suggest/gate.ts'
import { dedented } from './dedent.ts'
import { placeIn } from './edit-places.ts'
import type { RecentEdit } from './recent-edits.ts'
import type { Rewrite } from './rewrite.ts'
import { tokensOf } from './tokens.ts'
import type { WordChange } from './word-change.ts'

/** What a model that follows instructions is asked to rewrite. */
export interface EditPrompt {
  readonly messages: readonly ChatMessage[]
  /** What the reply begins with in any case: up to the first place that may change. */
  readonly beginsWith: string
  /** What the reply is expected to be, from its beginning on. */
  readonly predicted: string
}

type Lines = Pick<RecentEdit, 'before' | 'after'>

const fence = '```'
/** Ends a reply. */
export const editStop = `\n${fence}`

const instruction = 'Apply the edit to the code.'

interface Example {
  /** The latest first. */
  readonly edits: readonly Lines[]
  readonly code: Lines
}

// Small models do once more what was done before. Without the second one they rather leave names as they are.
const renames: readonly Example[] = [
  {
    edits: [{ before: 'let size = 1', after: 'let count = 1' }],
    code: { before: 'if (size > 2) {\n  print(size)\n}', after: 'if (count > 2) {\n  print(count)\n}' },
  },
  {
    edits: [{ before: 'total += size', after: 'total += count' }],
    code: { before: 'print(size + 1)', after: 'print(count + 1)' },
  },
]
const signatures: readonly Example[] = [
  {
    edits: [
      { before: 'let a = area(2)', after: 'let a = area(2, 5)' },
      { before: 'function area(width) {', after: 'function area(width, height) {' },
    ],
    code: { before: 'print(area(side) / 2)', after: 'print(area(side, 5) / 2)' },
  },
  {
    edits: [
      { before: 'show(1, name)', after: 'show(name)' },
      { before: 'def show(level, text):', after: 'def show(text):' },
    ],
    code: { before: 'show(2, "end")', after: 'show("end")' },
  },
]

/**
 * The writer's last edits and the region, after examples of the same. What is expected is the region with the names
 * replaced.
 * @param edits the latest first
 * @param place line of the region where the first place is
 * @returns undefined for code that holds the mark which ends it
 */
export function editPrompt(
  edits: readonly Lines[],
  region: string,
  place: number,
  change: WordChange,
): EditPrompt | undefined {
  if ([...edits.flatMap(({ before, after }) => [before, after]), region].some((text) => text.includes(fence))) {
    return undefined
  }
  const examples = change.renamed.size > 0 ? renames : signatures
  const shown = examples.flatMap(({ edits, code }) => [
    { role: 'user', content: asked(edits, code.before) },
    { role: 'assistant', content: fenced(code.after) },
  ])
  const { text } = dedented(region)
  const lines = text.split('\n')
  const begun = [...lines.slice(0, place), lines[place]!.slice(0, placeIn(change, lines[place]!))].join('\n')
  return {
    messages: [{ role: 'system', content: instruction }, ...shown, { role: 'user', content: asked(edits, text) }],
    beginsWith: `${fence}\n${begun}`,
    predicted: fenced(begun + replaced(text.slice(begun.length), change)),
  }
}

/** The code in a reply, and how likely each piece of it was. */
export function rewriteIn(reply: readonly Said[]): Rewrite {
  const whole = reply.map(({ text }) => text).join('')
  const start = /^```[^\n]*\n/.exec(whole)?.[0].length ?? 0
  const stop = whole.indexOf(editStop, start)
  const end = stop < 0 ? whole.length : stop
  let at = 0
  const said = reply.map(({ text, probability }) => {
    const part = text.slice(Math.max(0, start - at), Math.max(0, end - at))
    at += text.length
    return { text: part, probability }
  })
  return { text: whole.slice(start, end), said: said.filter(({ text }) => text !== '') }
}

function asked(edits: readonly Lines[], code: string): string {
  return `Edit:\n${edits.toReversed().map(difference).join('\n')}\nCode:\n${fenced(code)}`
}

function difference({ before, after }: Lines): string {
  const marked = (text: string, mark: string) => dedented(text).text.replaceAll(/^/gm, `${mark} `)
  return `${marked(before, '-')}\n${marked(after, '+')}`
}

function replaced(code: string, { renamed }: WordChange): string {
  return tokensOf(code)
    .map((token) => renamed.get(token) ?? token)
    .join('')
}

function fenced(code: string): string {
  return `${fence}\n${code}\n${fence}`
}
