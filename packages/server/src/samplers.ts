/** Those that we have, by llama-server's names, in the order in which they run. */
const samplers = ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'] as const
export type Sampler = (typeof samplers)[number]

/** Which of ours run where a request names some. It may name others, which are off or which we do not have. */
export function runningSamplers(named: readonly string[] | null | undefined): readonly Sampler[] {
  return named ? samplers.filter((name) => named.includes(name)) : samplers
}

/** Whether those of ours that are named stand in the order in which they run. */
export function inOrder(named: readonly string[]): boolean {
  const places = named.map((name) => (samplers as readonly string[]).indexOf(name)).filter((place) => place >= 0)
  return places.every((place, i) => i === 0 || place > places[i - 1]!)
}

/** Whether naming these leaves a reply as it is. */
export function namesAll(named: readonly string[]): boolean {
  return inOrder(named) && runningSamplers(named).length === samplers.length
}
