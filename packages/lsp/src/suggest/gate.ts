/** A stretch of what a model said, and how likely it held all of it. */
export interface Said {
  readonly text: string
  /** Undefined where a server does not say. */
  readonly probability: number | undefined
}

const word = /[\p{L}\p{N}_$]/u

/**
 * The longest beginning that is accepted with at least this probability, as a length in UTF-16 units. It ends at a place
 * where a reader would stop, not inside a word. A model's own probability of the text, the product over its tokens, is how
 * often the writer meant exactly this; `calibrate` corrects a model that is too sure of itself.
 * @param said what was said from the cursor on
 * @param length how much of it would be shown
 */
export function confidentLength(
  said: readonly Said[],
  length: number,
  least: number,
  calibrate: (probability: number) => number = (probability) => probability,
): number {
  if (least <= 0) return length
  const text = said.map((piece) => piece.text).join('')
  let [at, confident, probability] = [0, 0, 1]
  for (const piece of said) {
    if (at >= length) break
    // Without a word about it, it is taken as sure: a server that says nothing is not gated.
    probability *= piece.probability ?? 1
    at += piece.text.length
    const end = Math.min(at, length)
    if (calibrate(probability) < least) break
    if (isBoundary(text, end)) confident = end
  }
  return confident
}

/** Whether nobody would miss the next piece: enough was said, and it fell below the bound. */
export function isHopeless(
  said: readonly Said[],
  least: number,
  calibrate: (probability: number) => number = (probability) => probability,
): boolean {
  let probability = 1
  for (const piece of said) probability *= piece.probability ?? 1
  return calibrate(probability) < least
}

function isBoundary(text: string, at: number): boolean {
  return at >= text.length || !(word.test(text[at - 1] ?? '') && word.test(text[at] ?? ''))
}

/** What is too little to be worth a look: nothing but closing brackets, or a single sign. */
export function isWorthShowing(text: string): boolean {
  const visible = text.trim()
  return visible.length >= 2 && (word.test(visible) || visible.length >= 3)
}

/** A calibration by points (model's probability, share that was accepted), straight lines between them. */
export function calibration(points: readonly (readonly [number, number])[]): (probability: number) => number {
  return (probability) => {
    let [x0, y0] = [0, 0]
    for (const [x, y] of points) {
      if (probability <= x) return x === x0 ? y : y0 + ((y - y0) * (probability - x0)) / (x - x0)
      ;[x0, y0] = [x, y]
    }
    return y0
  }
}

/**
 * Takes further indentation off the beginning of what is said: on a line that the editor has indented, a model may take
 * the last space for the beginning of a longer indentation.
 * @param begun UTF-16 units that stood there already, before which nothing is taken
 */
export async function* withoutLead(pieces: AsyncIterable<Said>, begun: number): AsyncGenerator<Said> {
  let at = 0
  let leading = true
  for await (const piece of pieces) {
    const { text, probability } = piece
    if (!leading) {
      yield piece
      continue
    }
    const from = Math.min(text.length, Math.max(0, begun - at))
    const lead = /^[ \t]*/.exec(text.slice(from))![0].length
    leading = from + lead === text.length
    at += text.length
    const rest = text.slice(0, from) + text.slice(from + lead)
    if (rest !== '') yield { text: rest, probability }
  }
}
