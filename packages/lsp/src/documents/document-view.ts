import type { Situation } from '../suggest/situation.ts'
import { type Place, tailLength } from '../suggest/type-through.ts'
import { afterStart, lineEnd, unixLines } from './line-text.ts'

/** Longest completion that is recognised while it is typed, in UTF-16 units. */
const maxCompletion = 2000
const headLength = 200
// Enough for the brackets that are open.
const situationBefore = 2500
const situationBelow = 1000

/** What a cursor sees of a document. Line ends are `\n`. */
export interface View {
  readonly situation: Situation
  readonly place: Place
  /** The text before the cursor, long enough to recognise a completion in it. */
  readonly typedTail: string
}

/**
 * @param selected text that stands there as if it were typed: the entry of a completion list
 */
export function viewAt(text: string, cursor: number, comment: string, selected = ''): View {
  // Twice as much, because line ends of two characters become one.
  const start = Math.max(0, cursor - 2 * (tailLength + maxCompletion))
  const before = unixLines(text.slice(start, cursor)) + selected
  const end = lineEnd(text, cursor)
  const after = afterStart(text, cursor)
  return {
    situation: {
      before: before.slice(-situationBefore),
      restOfLine: text.slice(cursor, end),
      below: unixLines(text.slice(end, end + situationBelow)).replace(/^\n/, ''),
      comment,
    },
    place: { tail: before.slice(-tailLength), head: unixLines(text.slice(after, after + headLength)) },
    typedTail: before.slice(-(tailLength + maxCompletion)),
  }
}

/** As the view will be when `text` stands at the cursor: accepted, or typed to its end. */
export function viewBehind({ situation, place, typedTail }: View, text: string): View {
  const tail = typedTail + text
  return {
    situation: { ...situation, before: situation.before + text, restOfLine: '' },
    place: { tail: tail.slice(-tailLength), head: place.head },
    typedTail: tail.slice(-(tailLength + maxCompletion)),
  }
}

/** As the view was before the last characters were typed. */
export function viewBefore({ situation, place, typedTail }: View, characters: number): View {
  if (characters === 0) return { situation, place, typedTail }
  const tail = typedTail.slice(0, -characters)
  return {
    situation: { ...situation, before: situation.before.slice(0, -characters) },
    place: { tail: tail.slice(-tailLength), head: place.head },
    typedTail: tail,
  }
}
