import { type Disposable, MarkdownString, StatusBarAlignment, ThemeColor, window } from 'vscode'

/** What the language server says about itself. */
export interface Status {
  readonly state: 'off' | 'loading' | 'ready' | 'working' | 'failed'
  readonly model: string
  readonly message?: string
  /** Milliseconds from a request to its first text. */
  readonly firstMs?: number
  readonly shown: number
  readonly accepted: number
}

const icons = {
  off: '$(circle-slash)',
  loading: '$(loading~spin)',
  ready: '$(sparkle)',
  working: '$(sparkle)',
  failed: '$(warning)',
}

/** State and the last time to first token, always in sight. */
export class StatusBar implements Disposable {
  readonly #item = window.createStatusBarItem('incipit', StatusBarAlignment.Right, 100)

  constructor() {
    this.#item.name = 'incipit'
    this.#item.command = 'incipit.showTrace'
    this.show({ state: 'loading', model: '', shown: 0, accepted: 0 })
    this.#item.show()
  }

  show({ state, model, message, firstMs, shown, accepted }: Status): void {
    const time = state !== 'off' && firstMs !== undefined ? ` ${Math.round(firstMs)} ms` : ''
    this.#item.text = `${icons[state]} incipit${time}`
    this.#item.backgroundColor = state === 'failed' ? new ThemeColor('statusBarItem.warningBackground') : undefined
    const lines = [
      `**incipit**: ${state}${model === '' ? '' : `, ${model}`}`,
      ...(message === undefined ? [] : [message]),
      `${shown} completions shown, ${accepted} accepted`,
      '[on or off](command:incipit.toggle) · [model](command:incipit.chooseModel) · [trace](command:incipit.showTrace)',
    ]
    const tooltip = new MarkdownString(lines.join('\n\n'))
    tooltip.isTrusted = { enabledCommands: ['incipit.toggle', 'incipit.chooseModel', 'incipit.showTrace'] }
    this.#item.tooltip = tooltip
    this.#item.accessibilityInformation = { label: `incipit is ${state}${time}` }
  }

  visible(visible: boolean): void {
    if (visible) this.#item.show()
    else this.#item.hide()
  }

  dispose(): void {
    this.#item.dispose()
  }
}
