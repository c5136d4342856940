/** Milliseconds for people. */
export function ms(value: number): string {
  const size = Math.abs(value)
  if (size < 10) return `${value.toFixed(1)} ms`
  if (size < 1000) return `${Math.round(value)} ms`
  return `${(value / 1000).toFixed(size < 10_000 ? 2 : 1)} s`
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}%`
}

/** A token as one sees it: spaces and line ends have a sign. */
export function visible(token: string): string {
  return token.replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll(' ', '·')
}
