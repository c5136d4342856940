/**
 * Puts texts into as few runs as the order allows: whole texts, in order, as many as fit.
 * @param lengths tokens of each text, each at most `tokens`
 * @returns runs of indices
 */
export function packTexts(lengths: readonly number[], limits: { tokens: number; texts: number }): number[][] {
  const runs: number[][] = []
  let free = 0
  for (const [index, length] of lengths.entries()) {
    const run = runs.at(-1)
    if (run && length <= free && run.length < limits.texts) {
      run.push(index)
      free -= length
    } else {
      runs.push([index])
      free = limits.tokens - length
    }
  }
  return runs
}
