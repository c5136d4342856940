const leastProbability = 1e-4

/** The log-odds of a probability; of certainty those of one in ten thousand. */
export function logit(probability: number): number {
  const p = Math.min(1 - leastProbability, Math.max(leastProbability, probability))
  return Math.log(p / (1 - p))
}

/** The probability that log-odds stand for. */
export function logistic(logOdds: number): number {
  return 1 / (1 + Math.exp(-logOdds))
}
