import { connect, engine } from './api/engine.ts'
import { models } from './api/models.ts'
import { change, settings } from './settings.ts'

/** Which of several models answers. Nothing where there is one. */
export function ModelChoice({ label }: { label: string }) {
  const { model } = settings.value
  if (models.value.length < 2) return null
  return (
    <select
      aria-label={label}
      value={model || engine.value?.model}
      onChange={(event) => {
        change({ model: event.currentTarget.value })
        engine.value = undefined
        void connect()
      }}
    >
      {models.value.map((name) => (
        <option key={name}>{name}</option>
      ))}
    </select>
  )
}
