/** Enough of the text before the cursor to know a place again. */
export const tailLength = 400

/** A place in a document, so that it is known again after typing. */
export interface Place {
  /** The last characters before the cursor, at most `tailLength`; fewer only at the beginning of the document. */
  readonly tail: string
  /** What follows, without brackets that come and go with pairs. */
  readonly head: string
}

/**
 * How much of what was said at a place is typed by now (UTF-16 units), or undefined when something else was typed.
 * @param typedTail the text before the cursor now, at least `tailLength` and the length of what was said
 */
export function typedThrough(place: Place, said: string, typedTail: string, head: string): number | undefined {
  if (place.head !== head) return undefined
  const { tail } = place
  const first = Math.max(0, typedTail.length - tail.length - said.length)
  for (let at = typedTail.indexOf(tail, first); at >= 0; at = typedTail.indexOf(tail, at + 1)) {
    // It is all that the document begins with.
    if (tail.length < tailLength && at > 0) return undefined
    const typed = typedTail.slice(at + tail.length)
    if (said.startsWith(typed)) return typed.length
  }
  return undefined
}

/**
 * Whether what was typed since is the beginning of what was said, or the other way round: then waiting may pay.
 * @param begun how much of it was typed before anything was said (UTF-16 units)
 */
export function mayBecome(place: Place, said: string, typedTail: string, head: string, begun = 0): boolean {
  if (place.head !== head) return false
  const at = place.tail.length < tailLength ? 0 : typedTail.lastIndexOf(place.tail)
  if (at < 0 || !typedTail.startsWith(place.tail, at)) return false
  const typed = typedTail.slice(at + place.tail.length)
  return typed.length >= begun && (typed.startsWith(said) || said.startsWith(typed))
}
