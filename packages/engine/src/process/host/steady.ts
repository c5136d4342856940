/** Milliseconds without a step after which an engine counts as idle: longer than the pauses of a client that types. */
const restMs = 100

/** Tells at once that somebody computes, and that nobody does only when it stays so for a moment. */
export function steady(tell: (computing: boolean) => void): (computing: boolean) => void {
  let told = false
  let timer: NodeJS.Timeout | undefined
  const change = (computing: boolean) => {
    if (computing === told) return
    told = computing
    tell(computing)
  }
  return (computing) => {
    clearTimeout(timer)
    if (computing) change(true)
    else timer = setTimeout(change, restMs, false)
  }
}
