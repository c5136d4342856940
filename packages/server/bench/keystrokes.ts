import { random } from '../../engine/bench/numbers.ts'

/** One change of an input: after `ms` milliseconds everything from `base` on becomes `text`. */
export interface Keystroke {
  ms: number
  base: number
  text: string
}

/**
 * Somebody types `text` at about `rate` characters a second: log-normal gaps, longer ones after words and sentences, and
 * now and then a wrong letter that is noticed one or two letters later and taken back.
 */
export function typing(text: string, rate: number, seed: number): Keystroke[] {
  const next = random(seed)
  const strokes: Keystroke[] = []
  const gap = (after: string): number => {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
    const pause = /[.!?]/.test(after) ? 3 : after === ' ' ? 1.4 : 0.9
    return (1000 / rate) * pause * Math.exp(0.4 * normal - 0.08)
  }
  for (let i = 0; i < text.length; i++) {
    const before = text[i - 1] ?? ''
    if (next() < 0.02 && /[a-z]/.test(text[i]!)) {
      const letters = 1 + Math.floor(next() * 2)
      for (let j = 0; j < letters; j++) {
        const wrong = j === 0 ? String.fromCharCode(97 + Math.floor(next() * 26)) : (text[i + j] ?? 'e')
        strokes.push({ ms: gap(before), base: i + j, text: wrong })
      }
      for (let j = letters - 1; j >= 0; j--) strokes.push({ ms: gap(''), base: i + j, text: '' })
    }
    strokes.push({ ms: gap(before), base: i, text: text[i]! })
  }
  return strokes
}

/**
 * A speech recogniser's growing hypothesis: every `everyMs` two or three more words, and half of the time the last word
 * before them is corrected.
 */
export function speech(text: string, everyMs: number, seed: number): Keystroke[] {
  const next = random(seed)
  const words = text.split(/(?<= )/)
  const strokes: Keystroke[] = []
  let said = ''
  for (let i = 0; i < words.length; ) {
    const count = 2 + Math.floor(next() * 2)
    const part = words.slice(i, i + count)
    i += count
    const heard = part.join('')
    // Heard wrong at first: the last word lacks its end.
    const last = part.at(-1)!.trimEnd()
    const wrong = next() < 0.5 && last.length > 3 ? heard.trimEnd().slice(0, -2) : heard
    strokes.push({ ms: everyMs, base: said.length, text: wrong })
    if (wrong !== heard) strokes.push({ ms: everyMs, base: said.length, text: heard })
    said += heard
  }
  return strokes
}

/** The text that is left after all strokes. */
export function apply(strokes: readonly Keystroke[]): string {
  return strokes.reduce((text, { base, text: added }) => text.slice(0, base) + added, '')
}
