/** What an input's text goes to: the open message of `openRealtime`, or anything like it. */
export interface InputTarget {
  readonly text: string
  /** Everything after the UTF-16 offset `base` becomes `text`. */
  replace(base: number, text: string): void
}

/** What is used of a textarea or an input element. */
export interface TextField {
  value: string
  addEventListener(type: string, listener: (event: FieldEvent) => void): void
  removeEventListener(type: string, listener: (event: FieldEvent) => void): void
}

interface FieldEvent {
  readonly key?: string
  readonly shiftKey?: boolean
  readonly isComposing?: boolean
  preventDefault(): void
}

/**
 * Keeps a target's text equal to what stands in a text field, whoever changes it: keys, an input method's composition,
 * paste, drag and drop, undo, dictation. Each change is one `replace` from the first difference on.
 *
 * @param onSubmit called when Enter is pressed without Shift and outside a composition
 * @returns stops it
 */
export function bindInput(field: TextField, target: InputTarget, onSubmit?: () => void): () => void {
  const follow = () => {
    const { value } = field
    const base = firstDifference(target.text, value)
    if (base < Math.max(value.length, target.text.length)) target.replace(base, value.slice(base))
  }
  const onKey = (event: FieldEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || !onSubmit) return
    event.preventDefault()
    follow()
    onSubmit()
  }
  follow()
  // `compositionend`: where it is the last word, the input event before it may have had another text.
  const listeners = [
    ['input', follow],
    ['compositionend', follow],
    ['keydown', onKey],
  ] as const
  for (const [type, listener] of listeners) field.addEventListener(type, listener)
  return () => {
    for (const [type, listener] of listeners) field.removeEventListener(type, listener)
  }
}

/** Length of the common beginning, in UTF-16 units; never in the middle of a character of two. */
export function firstDifference(a: string, b: string): number {
  const most = Math.min(a.length, b.length)
  let at = 0
  while (at < most && a[at] === b[at]) at++
  const last = a.charCodeAt(at - 1)
  return at > 0 && at < Math.max(a.length, b.length) && last >= 0xd800 && last < 0xdc00 ? at - 1 : at
}
