import { record } from '../../record.ts'

/** The product over tokens that have a `logprob` each; undefined where they have none. */
export function probabilityOf(tokens: unknown): number | undefined {
  if (!Array.isArray(tokens) || tokens.length === 0) return undefined
  let sum = 0
  for (const token of tokens) {
    const { logprob } = record(token)
    if (typeof logprob !== 'number') return undefined
    sum += logprob
  }
  return Math.exp(sum)
}
