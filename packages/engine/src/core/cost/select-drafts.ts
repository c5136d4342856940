/**
 * How many drafts of each chain are worth verifying in one step, over all requests: those with the most expected tokens
 * per millisecond, none when plain decoding is best. A chain lists per draft the probability that it is right given that
 * those before it are, so the running product falls along it and drafts can be taken in the order of their survival. Where
 * what they cost depends on whose they are, as many of each chain may be better.
 *
 * @param plainTokens tokens that the step decides without drafts
 * @param ms cost of the step with so many drafts of each chain, `count` together
 */
export function selectDrafts(
  chains: readonly (readonly number[])[],
  plainTokens: number,
  ms: (lengths: readonly number[], count: number) => number,
): number[] {
  let best = chains.map(() => 0)
  let bestRate = plainTokens / ms(best, 0)
  const consider = (lengths: readonly number[], count: number, tokens: number): void => {
    const rate = (plainTokens + tokens) / ms(lengths, count)
    if (rate <= bestRate) return
    bestRate = rate
    best = [...lengths]
  }
  const survivals = chains.map(survivalsOf)
  const drafts = survivals.flatMap((survival, chain) => survival.map((one) => ({ chain, survival: one })))
  // A stable sort: of one chain the earlier draft first, also where both are certain.
  drafts.sort((a, b) => b.survival - a.survival)
  const lengths = chains.map(() => 0)
  let tokens = 0
  for (const [index, { chain, survival }] of drafts.entries()) {
    lengths[chain]!++
    tokens += survival
    consider(lengths, index + 1, tokens)
  }
  if (chains.length < 2) return best
  lengths.fill(0)
  tokens = 0
  let count = 0
  for (let length = 1; count < drafts.length; length++) {
    for (const [chain, survival] of survivals.entries()) {
      if (survival.length < length) continue
      lengths[chain] = length
      tokens += survival[length - 1]!
      count++
    }
    consider(lengths, count, tokens)
  }
  return best
}

/** Probability that a draft and all before it are right. */
function survivalsOf(chain: readonly number[]): number[] {
  let survival = 1
  return chain.map((confidence) => {
    survival *= confidence
    return survival
  })
}
