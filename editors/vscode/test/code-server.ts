import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'

const home = join(import.meta.dirname, 'code-server')
const installed = join(home, 'node_modules', 'code-server')
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` }

/**
 * Installs what `code-server/package-lock.json` names, and what its own shrinkwrap file does. Its native modules are for
 * terminals and the like: they are not built.
 */
export function installCodeServer(): void {
  const npm = (folder: string, ...args: string[]) => {
    const all = [...args, '--ignore-scripts', '--no-audit', '--no-fund']
    const { status } = spawnSync('npm', all, { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] })
    if (status !== 0) throw new Error(`npm ${args.join(' ')} in ${folder} ended with ${status}`)
  }
  if (!existsSync(installed)) npm(home, 'ci')
  const workbench = join(installed, 'lib', 'vscode')
  // The package manager that is part of it refuses the shrinkwrap file of another one; installing takes its versions.
  if (!existsSync(join(workbench, 'node_modules'))) npm(workbench, 'install', '--omit=dev')
}

/** VS Code in a server, with an extension and these settings. Everything it writes is below `folder`. */
export class CodeServer implements AsyncDisposable {
  readonly url: string
  readonly #process: ChildProcess

  private constructor(url: string, process: ChildProcess) {
    this.url = url
    this.#process = process
  }

  static async start(folder: string, vsix: string, settings: Readonly<Record<string, unknown>>): Promise<CodeServer> {
    const data = join(folder, 'data')
    await mkdir(join(data, 'User'), { recursive: true })
    await writeFile(join(data, 'User', 'settings.json'), JSON.stringify(settings))
    // What is for a machine alone, such as a command, counts in its own settings once those of the user were changed.
    await mkdir(join(data, 'Machine'))
    const own = { 'incipit.command': settings['incipit.command'] }
    await writeFile(join(data, 'Machine', 'settings.json'), JSON.stringify(own))
    const config = join(folder, 'config.yaml')
    await writeFile(config, 'auth: none\n')
    const entry = join(installed, 'out', 'node', 'entry.js')
    const common = ['--config', config, '--user-data-dir', data, '--extensions-dir', join(folder, 'extensions')]
    const { status } = spawnSync(process.execPath, [entry, ...common, '--install-extension', vsix], {
      stdio: 'inherit',
    })
    if (status !== 0) throw new Error(`the extension cannot be installed: ${status}`)
    const quiet = ['--disable-telemetry', '--disable-update-check', '--disable-getting-started-override']
    const child = spawn(process.execPath, [entry, ...common, ...quiet, '--bind-addr', '127.0.0.1:0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // The machine of the editor and that of the engine are one.
      env: { ...env, INCIPIT_CACHE: join(folder, 'cache') },
    })
    let said = ''
    const address = Promise.withResolvers<string>()
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const url = /listening on (http:\/\/\S+?)\/?\s/.exec(said)?.[1]
      if (url !== undefined) address.resolve(url)
    })
    child.once('exit', () => address.reject(new Error(`code-server ended: ${said}`)))
    return new CodeServer(await address.promise, child)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await gone
  }
}
