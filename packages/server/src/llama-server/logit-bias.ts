import { ServerError } from '../errors.ts'
import type { ServedEngine } from '../served-engine.ts'

type Bias = number | false
type LogitBias = Readonly<Record<string, Bias>> | readonly (readonly [string | number, Bias])[]

/** The engine all but bans a token with this bias. */
const BANNED = -100

/**
 * Biases by token id. A text stands for all of its tokens.
 *
 * @throws ServerError `unsupported` for texts where the engine cannot say what their tokens are
 */
export async function biasesOf(
  { tokenize }: Pick<ServedEngine, 'tokenize'>,
  biases: LogitBias | null | undefined,
): Promise<Record<number, number>> {
  const byToken: Record<number, number> = {}
  for (const [key, bias] of Array.isArray(biases) ? biases : Object.entries(biases ?? {})) {
    for (const token of await tokensOf(key)) byToken[token] = bias === false ? BANNED : bias
  }
  return byToken

  async function tokensOf(key: string | number): Promise<readonly number[]> {
    if (typeof key === 'number' || /^\d+$/.test(key)) return [Number(key)]
    if (tokenize !== undefined) return tokenize(key)
    throw new ServerError('unsupported', 'logit_bias: only token ids are supported here', { param: 'logit_bias' })
  }
}
