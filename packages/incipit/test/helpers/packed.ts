import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository. */
export const root = fileURLToPath(new URL('../../../..', import.meta.url))

const quiet = ['--no-audit', '--no-fund', '--loglevel=error']

export interface Installation {
  /** The folder that the tarballs were installed into, which was empty. */
  readonly folder: string
  /** By file name. */
  readonly tarballs: readonly string[]
}

/** Packs every package as it is published, and installs all of them into an empty folder. */
export async function installPacked(): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), 'incipit-packed-'))
  const packed = join(folder, 'packed')
  await command(process.execPath, [join(root, 'scripts/pack.ts'), packed], { cwd: root })
  const tarballs = (await readdir(packed)).map((name) => join(packed, name))
  const empty = join(folder, 'installed')
  await mkdir(empty)
  await writeFile(join(empty, 'package.json'), '{ "private": true, "type": "module" }')
  await command('npm', ['install', ...tarballs, ...quiet], { cwd: empty })
  return { folder: empty, tarballs }
}

/** The folder of the newest `node` of a major version, by the npm package of that name. It stays for the next run. */
export async function nodeFolder(version: number): Promise<string> {
  const folder = join(root, 'node_modules', '.cache', 'node-versions', String(version))
  const installed = join(folder, 'node_modules', 'node')
  if (!existsSync(join(installed, 'bin'))) {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), '{ "private": true }')
    await command('npm', ['install', `node@${version}`, '--ignore-scripts', ...quiet], { cwd: folder })
    await command(process.execPath, ['installArchSpecificPackage.js'], { cwd: installed })
  }
  return join(installed, 'bin')
}

/** Runs a command to its end, and gives its output. */
export async function command(
  name: string,
  args: readonly string[],
  { cwd, path, env }: { cwd: string; path?: string; env?: NodeJS.ProcessEnv },
): Promise<{ stdout: string; stderr: string }> {
  const PATH = `${path ?? dirname(process.execPath)}${delimiter}${process.env.PATH}`
  // On Windows npm and npx are scripts for the shell.
  const shell = process.platform === 'win32' && name !== process.execPath
  const child = spawn(name, shell ? args.map((arg) => `"${arg}"`) : args, {
    cwd,
    env: { ...process.env, ...env, PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
    shell,
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const [code, signal] = await once(child, 'close')
  if (code !== 0) throw new Error(`${name} ${args[0]} ended with ${code ?? signal}:\n${output.stdout}${output.stderr}`)
  return output
}
