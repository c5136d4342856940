import type { RecentEdit } from './recent-edits.ts'
import { differences, isName, namesOf, tokensOf } from './tokens.ts'

/** What an edit means for other places. */
export interface WordChange {
  /** Names that are gone, and what stands in their place. */
  readonly renamed: ReadonlyMap<string, string>
  /** Functions whose parameters changed. */
  readonly called: ReadonlySet<string>
}

// What languages share. It is changed often, and its other places have nothing to do with that.
const keywords = new Set(
  (
    'abstract and as async await begin bool boolean break byte case catch char class const continue def default del do ' +
    'double elif else end enum except export extends false final finally float fn for foreach from func function global ' +
    'if implements import in int interface is let long match mod module mut new nil none None not null number object of ' +
    'or override package pass private protected pub public raise readonly return self short static str string struct ' +
    'super switch then this throw throws trait true True False try type undefined union unless until use using val var ' +
    'void when where while with yield'
  ).split(' '),
)
const minName = 2

type Changed = Pick<RecentEdit, 'before' | 'after'>

export function wordChange(edit: Changed): WordChange {
  return { renamed: renamedIn(edit), called: calledIn(edit) }
}

/** Names that were replaced one for one and are not there any more. */
function renamedIn({ before, after }: Changed): Map<string, string> {
  const [old, now] = [tokensOf(before), tokensOf(after)]
  const still = namesOf(after)
  const renamed = new Map<string, string>()
  for (const { from, to, newFrom, newTo } of differences(old, now)) {
    const gone = old.slice(from, to).filter(isName)
    const come = now.slice(newFrom, newTo).filter(isName)
    if (gone.length !== come.length) continue
    for (const [i, name] of gone.entries()) {
      const other = come[i]!
      if (still.has(name) || [name, other].some((each) => each.length < minName || keywords.has(each))) continue
      renamed.set(name, other)
    }
  }
  return renamed
}

function calledIn({ before, after }: Changed): Set<string> {
  const old = parametersIn(before)
  const changed = [...parametersIn(after)].filter(([name, now]) => {
    const were = old.get(name)
    // Other names are for inside: the count is what others see.
    return were !== undefined && count(were) !== count(now)
  })
  return new Set(changed.map(([name]) => name))
}

function count(parameters: string): number {
  return parameters.split(',').filter((each) => each.trim() !== '').length
}

const declarations = [
  /\b(?:function\*?|def|fn|func|fun|sub)\s+([\p{L}_$][\p{L}\p{N}_$]*)\s*(?:<[^>]*>)?\(([^)]*)/gu,
  /([\p{L}_$][\p{L}\p{N}_$]*)\s*=\s*(?:async\s*)?\(([^)]*)\)[^=\n]*=>/gu,
  /^\s*(?:[\p{L}]+\s+)*#?([\p{L}_$][\p{L}\p{N}_$]*)\s*(?:<[^>]*>)?\(([^()'"`]*)\)[^()\n]*\{\s*$/gmu,
]

/** Functions that are declared in a text, each with what stands between its parentheses. */
function parametersIn(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const declaration of declarations) {
    for (const [, name = '', parameters = ''] of text.matchAll(declaration)) {
      if (!keywords.has(name)) found.set(name, parameters)
    }
  }
  return found
}
