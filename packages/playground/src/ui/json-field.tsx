import { useEffect, useId, useState } from 'preact/hooks'

/** A field for JSON: its value is taken when it can be read, and otherwise what is wrong with it is said. */
export function JsonField(props: {
  label: string
  value: string
  example: string
  /** Throws an Error with what is wrong, for people. */
  check: (text: string) => unknown
  onChange: (text: string) => void
}) {
  const { label, value, example, check, onChange } = props
  const [text, setText] = useState(value)
  const [problem, setProblem] = useState('')
  const id = useId()
  useEffect(() => {
    setText(value)
    setProblem('')
  }, [value])
  const take = (next: string) => {
    setText(next)
    const isEmpty = next.trim() === ''
    try {
      if (!isEmpty) check(next)
      setProblem('')
      onChange(isEmpty ? '' : next)
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    }
  }
  return (
    <div class="json-field">
      <label>
        {label}
        <textarea
          rows={text === '' ? 2 : 6}
          dir="ltr"
          spellcheck={false}
          placeholder="None"
          value={text}
          aria-invalid={problem !== ''}
          aria-describedby={id}
          onInput={(event) => take(event.currentTarget.value)}
        />
      </label>
      {text === '' && (
        <button type="button" class="quiet" onClick={() => take(example)}>
          An example
        </button>
      )}
      <p id={id} class="problem" role="status">
        {problem}
      </p>
    </div>
  )
}
