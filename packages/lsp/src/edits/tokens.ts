import { diffArrays } from 'diff'

const token = /[\p{L}_$][\p{L}\p{N}_$]*|[\p{N}.]+|[ \t]+|\n|./gsu
const name = /^[\p{L}_$]/u

/** Words, numbers, spaces and single signs: together they are the text. */
export function tokensOf(code: string): string[] {
  return code.match(token) ?? []
}

export function isName(token: string): boolean {
  return name.test(token)
}

export function namesOf(code: string): Set<string> {
  return new Set(tokensOf(code).filter(isName))
}

/** A stretch of two lists where they differ: indices, the end excluded. */
export interface Difference {
  readonly from: number
  readonly to: number
  readonly newFrom: number
  readonly newTo: number
}

/** Where two lists differ, with as little as can be. */
export function differences(before: readonly string[], after: readonly string[]): Difference[] {
  const found: Difference[] = []
  let start: { from: number; newFrom: number } | undefined
  let [from, newFrom] = [0, 0]
  const flush = () => {
    if (start) found.push({ ...start, to: from, newTo: newFrom })
    start = undefined
  }
  for (const { added, removed, count } of diffArrays([...before], [...after])) {
    if (!added && !removed) flush()
    else start ??= { from, newFrom }
    if (!added) from += count
    if (!removed) newFrom += count
  }
  flush()
  return found
}
