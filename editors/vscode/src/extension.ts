import { commands, type ExtensionContext, window, workspace } from 'vscode'
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from 'vscode-languageclient/node'
import { chooseModel } from './choose-model'
import { tellContext } from './editor-context'
import { LateSuggestion } from './late-suggestion'
import { NextEditView } from './next-edit'
import { type Status, StatusBar } from './status-bar'
import { TraceView, traceScheme } from './trace'

// Everything that completes is in the language server; this starts it and shows its state.

let client: LanguageClient | undefined

export async function activate(context: ExtensionContext): Promise<void> {
  const status = new StatusBar()
  const late = new LateSuggestion()
  const trace = new TraceView()
  // While the server starts, or is gone, nobody listens.
  const nextEdit = new NextEditView(() => (client?.isRunning() ? client : undefined))
  const start = async () => {
    await client?.stop().catch(() => undefined)
    const loading = { state: 'loading', model: '', shown: 0, accepted: 0 } as const
    status.show(loading)
    late.told(loading)
    const [command = 'incipit', ...args] = workspace.getConfiguration('incipit').get<string[]>('command', [])
    const server: ServerOptions = { command, args }
    const options: LanguageClientOptions = {
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }],
      synchronize: { configurationSection: 'incipit' },
      initializationOptions: { status: true },
      middleware: { provideInlineCompletionItems: late.provideInlineCompletionItems },
    }
    client = new LanguageClient('incipit', 'incipit', server, options)
    client.onNotification('incipit/status', (state: Status) => {
      status.show(state)
      late.told(state)
    })
    try {
      await client.start()
    } catch (error) {
      status.show({ state: 'failed', model: '', message: `${command} does not start: ${error}`, shown: 0, accepted: 0 })
    }
  }
  const register = (name: string, run: () => unknown) =>
    context.subscriptions.push(commands.registerCommand(`incipit.${name}`, run))
  register('toggle', () => {
    const settings = workspace.getConfiguration('incipit')
    return settings.update('enabled', !settings.get('enabled'), true)
  })
  register('chooseModel', () => client && chooseModel(client))
  register('showTrace', () => client && trace.show(client))
  register('alternatives', () => commands.executeCommand('editor.action.inlineSuggest.trigger'))
  register('takeNextEdit', () => nextEdit.take())
  register('dismissNextEdit', () => nextEdit.dismiss())
  register('acceptWord', () => commands.executeCommand('editor.action.inlineSuggest.acceptNextWord'))
  register('acceptLine', () => commands.executeCommand('editor.action.inlineSuggest.acceptNextLine'))
  register('restart', start)
  context.subscriptions.push(
    status,
    late,
    nextEdit,
    workspace.registerTextDocumentContentProvider(traceScheme, trace),
    tellContext((method, params) => {
      if (client?.isRunning()) void client.sendNotification(method, params)
    }),
    workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration('incipit.command')) void commands.executeCommand('incipit.restart')
    }),
    window.onDidChangeActiveTextEditor((editor) => status.visible(editor !== undefined)),
  )
  await start()
}

export async function deactivate(): Promise<void> {
  await client?.stop()
}
