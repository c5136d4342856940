import { useEffect, useState } from 'preact/hooks'
import { Icon } from './icon.tsx'

/** How long a button says what became of it, in milliseconds. */
const answerMs = 1500

/** Copies a text, and says so. Over HTTP from another machine browsers let no page copy: then there is no button. */
export function CopyButton({ label, text, icon = true }: { label: string; text: () => string; icon?: boolean }) {
  const [answer, setAnswer] = useState('')
  useEffect(() => {
    if (answer === '') return
    const timer = setTimeout(() => setAnswer(''), answerMs)
    return () => clearTimeout(timer)
  }, [answer])
  if (!('clipboard' in navigator)) return null
  const copy = () =>
    navigator.clipboard.writeText(text()).then(
      () => setAnswer('Copied'),
      () => setAnswer('The browser did not allow it'),
    )
  const name = answer || label
  if (!icon) {
    return (
      <button type="button" class="quiet" onClick={() => void copy()}>
        {name}
      </button>
    )
  }
  return (
    <button type="button" class="icon-button" title={name} aria-label={name} onClick={() => void copy()}>
      <Icon name={answer === 'Copied' ? 'done' : 'copy'} />
    </button>
  )
}
