import { signal } from '@preact/signals'
import type { ComponentType } from 'preact'

/** The panel, which comes when it is first wanted, and opens itself then. */
const panel = signal<{ View: ComponentType } | undefined>(undefined)

export async function showSettings(): Promise<void> {
  if (panel.peek()) {
    document.querySelector<HTMLDialogElement>('#settings')?.showModal()
    return
  }
  try {
    const { SettingsPanel } = await import('./settings-panel.tsx')
    panel.value = { View: SettingsPanel }
  } catch {
    // A server that is not there is said elsewhere.
  }
}

export function SettingsDialog() {
  const { value } = panel
  return value ? <value.View /> : null
}
