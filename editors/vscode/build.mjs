// Makes the extension: node editors/vscode/build.mjs [output.vsix]. Installs what that takes into this folder.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'

const here = import.meta.dirname
const output = resolve(process.argv[2] ?? join(here, 'dist', 'incipit.vsix'))
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` }

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: here, stdio: ['ignore', 'ignore', 'inherit'], env })
  if (error) throw error
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')} ended with ${status}`)
}

if (!existsSync(join(here, 'node_modules', '@vscode', 'vsce'))) {
  run('npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund')
}
run(join(here, '..', '..', 'node_modules', '.bin', 'tsc'), '-p', here)
run(
  join(here, 'node_modules', '.bin', 'esbuild'),
  'src/extension.ts',
  '--bundle',
  '--platform=node',
  '--format=cjs',
  '--target=node22',
  '--external:vscode',
  '--outfile=dist/extension.js',
  '--log-level=warning',
)
run(
  join(here, 'node_modules', '.bin', 'vsce'),
  'package',
  '--no-dependencies',
  '--skip-license',
  '--allow-missing-repository',
  '--out',
  output,
)
console.log(output)
