import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'

/** Tells code in one language piece by piece. */
type Teller = (code: string, put: (text: string, classes: string) => void) => void

/** Tellers by the names of their languages. They come with the first code that there is. */
const tellers = signal<ReadonlyMap<string, Teller>>(new Map())
const asked = new Set<string>()

/** Longer code stays uncoloured: it is parsed anew with every word. */
const longest = 20_000

/** Code as coloured pieces; `piece` makes a node of each. */
export function highlighted(
  code: string,
  language: string,
  piece: (text: string, classes: string) => ComponentChildren,
): ComponentChildren[] {
  const tell = tellers.value.get(language)
  if (!tell) void ask(language)
  if (!tell || code.length > longest) return [piece(code, '')]
  const pieces: ComponentChildren[] = []
  tell(code, (text, classes) => pieces.push(piece(text, classes)))
  return pieces
}

async function ask(name: string): Promise<void> {
  if (name === '' || asked.has(name)) return
  asked.add(name)
  const { languageOf, tell } = await import('../code/languages.ts')
  const language = await languageOf(name)
  if (!language) return
  tellers.value = new Map(tellers.value).set(name, (code, put) => tell(code, language, put))
}
