import type { Outcome, Round } from './drive.ts'
import { shortPrompt } from './load.ts'
import { median, quantile } from './numbers.ts'

/** One number of a round, and how it is printed. */
export interface Figure {
  title: string
  of: (round: Round) => number
  digits: number
}

const ttft = (outcome: Outcome) => outcome.ttft
const isShort = ({ ownTokens }: Outcome) => ownTokens < shortPrompt

/** Tokens of prompts and replies, per second of the round. */
export const throughput: Figure = {
  title: 'tokens/s',
  of: ({ outcomes, ms }) =>
    (1000 * outcomes.reduce((sum, { promptTokens, replyTokens }) => sum + promptTokens + replyTokens, 0)) / ms,
  digits: 0,
}

/** Milliseconds per token of a reply after its first. */
export const msPerToken: Figure = {
  title: 'ms per token',
  of: ({ outcomes }) => {
    const ms = outcomes.reduce((sum, { gaps }) => sum + gaps.reduce((a, b) => a + b, 0), 0)
    return ms / outcomes.reduce((sum, { replyTokens }) => sum + replyTokens - 1, 0)
  },
  digits: 2,
}

/** What a load of many streams is judged by. */
export const loadFigures: readonly Figure[] = [
  throughput,
  { title: 'TTFT p50 ms', of: ({ outcomes }) => quantile(outcomes.map(ttft), 0.5), digits: 0 },
  { title: 'TTFT p95 ms', of: ({ outcomes }) => quantile(outcomes.map(ttft), 0.95), digits: 0 },
  { title: 'short p50 ms', of: ({ outcomes }) => quantile(outcomes.filter(isShort).map(ttft), 0.5), digits: 0 },
  { title: 'short p95 ms', of: ({ outcomes }) => quantile(outcomes.filter(isShort).map(ttft), 0.95), digits: 0 },
  {
    title: 'long p95 ms',
    of: ({ outcomes }) => quantile(outcomes.filter((outcome) => !isShort(outcome)).map(ttft), 0.95),
    digits: 0,
  },
  {
    title: 'ITL p95 ms',
    of: ({ outcomes }) =>
      quantile(
        outcomes.flatMap(({ gaps }) => gaps),
        0.95,
      ),
    digits: 1,
  },
  msPerToken,
]

/** Requests that were answered per second of the round. */
export function requestsPerSecond({ outcomes, ms }: Round): number {
  return (1000 * outcomes.length) / ms
}

/** The figures of an engine: medians over its rounds. */
export function mediansOf(figures: readonly Figure[], rounds: readonly Round[]): string[] {
  return figures.map(({ of, digits }) => median(rounds.map(of)).toFixed(digits))
}

/** The figures of one engine over those of another: medians over pairs of rounds that ran one after the other. */
export function ratiosOf(figures: readonly Figure[], rounds: readonly Round[], others: readonly Round[]): string[] {
  return figures.map(({ of }) => median(rounds.map((round, i) => of(round) / of(others[i]!))).toFixed(2))
}
