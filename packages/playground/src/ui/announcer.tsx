import { signal } from '@preact/signals'

const spoken = signal('')

/**
 * Reads committed text aloud, sentence by sentence: never what may be taken back, and not word by word.
 * @param from how much of it was read already
 * @returns how much is now
 */
export function announce(text: string, from: number, all = false): number {
  const rest = text.slice(from)
  const end = all ? rest.length : rest.search(/[.!?。！？\n]\s*(?=\S)/u) + 1
  if (end <= 0) return from
  spoken.value = rest.slice(0, end)
  return from + end
}

/** The place where assistive technology hears it. */
export function Announcer() {
  return (
    <div class="unseen" aria-live="polite" role="log">
      {spoken}
    </div>
  )
}
