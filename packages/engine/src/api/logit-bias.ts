/**
 * What is added to the logits of tokens, -100 to 100, by the token's id or by text, which stands for each of its tokens. In an
 * object a key of digits is an id, in a list of pairs a number is. Of a token that is named twice the last one counts.
 */
export type LogitBias = Readonly<Record<number | string, number>> | BiasPairs

type BiasPairs = readonly (readonly [token: number | string, bias: number])[]

/** The same as a list of pairs, in which a number is a token's id. */
export function biasPairs(bias: LogitBias): BiasPairs {
  if (isList(bias)) return bias
  return Object.entries(bias).map(([key, value]) => [/^\d+$/.test(key) ? Number(key) : key, value])
}

function isList(bias: LogitBias): bias is BiasPairs {
  return Array.isArray(bias)
}
