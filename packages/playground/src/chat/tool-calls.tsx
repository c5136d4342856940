import type { ToolCall } from '@incipit/client'
import { useState } from 'preact/hooks'

/**
 * The tools that a reply calls, and where it is the last one a form for their results: here nobody but the reader can
 * say what they are.
 */
export function ToolCalls(props: {
  calls: readonly ToolCall[]
  onResults: ((results: readonly string[]) => void) | undefined
}) {
  const { calls, onResults } = props
  const [results, setResults] = useState<readonly string[]>(calls.map(() => ''))
  if (!onResults) {
    return (
      <div class="calls">
        {calls.map((call) => (
          <Call key={call.id} call={call} />
        ))}
      </div>
    )
  }
  return (
    <form
      class="calls"
      aria-label="Results of the tools"
      onSubmit={(event) => {
        event.preventDefault()
        onResults(results)
      }}
    >
      {calls.map((call, i) => (
        <label key={call.id}>
          <Call call={call} />
          <textarea
            dir="auto"
            rows={2}
            placeholder="What it gives back"
            aria-label={`Result of ${call.function.name}`}
            value={results[i]}
            onInput={(event) => setResults(results.with(i, event.currentTarget.value))}
          />
        </label>
      ))}
      <button type="submit" class="primary">
        {calls.length === 1 ? 'Give the result' : 'Give the results'}
      </button>
    </form>
  )
}

function Call({ call }: { call: ToolCall }) {
  const { name, arguments: json } = call.function
  return (
    <code class="call" dir="ltr">
      <b>{name}</b>({json})
    </code>
  )
}
