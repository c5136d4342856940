import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { full } from '../../engine/test/fixtures/test-size.ts'

// Editors themselves, without a window, where they are installed, with the configuration of docs/editors.md: their list
// completes, a code action makes the next edit.

const incipit = fileURLToPath(new URL('../../incipit/src/main.ts', import.meta.url))
const models = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../shared/models', import.meta.url))
const smol = join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')

const code = `export function average(values) {
  let total = 0
  for (const value of values) {
    total += value
  }
  return total / values.length
}

average([])
`

/** What the script of an editor writes. */
interface Result {
  readonly failure?: string
  readonly entries: readonly (string | { readonly word: string })[]
  readonly completed: string
  readonly action: string
  readonly edited: string
}

/** Whether a command ends well. */
function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0
}

const runsFull = (command: string, ...args: string[]) => full && runs(command, ...args)

function skipUnless(installed: boolean, name: string): string | false {
  if (!full) return 'part of npm run test:full'
  if (!installed) return `${name} is not installed`
  return existsSync(smol) ? false : `${smol} is missing`
}

/**
 * The configuration of an editor in the docs, with settings of which the file is read from INCIPIT_SETTINGS.
 * @param given how that is written in its language
 */
async function configured(editor: string, settings: string, given: string): Promise<string> {
  const docs = await readFile(fileURLToPath(new URL('../../../docs/editors.md', import.meta.url)), 'utf8')
  const [, block = ''] = new RegExp(`^\\*\\*${editor}\\*\\*.*\n\`{3}\\w+\n([^]*?)\`{3}`, 'm').exec(docs) ?? []
  assert.ok(block.includes(settings), `docs/editors.md configures ${editor} in another way`)
  return block.replace(settings, given)
}

/** @param args of the editor, for a file to open, its configuration and the folder of its script */
async function drive(
  t: TestContext,
  editor: string,
  configuration: string,
  args: (file: string, configuration: string, scripts: string) => string[],
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'incipit-editor-'))
  t.after(() => rm(folder, { recursive: true, maxRetries: 5 }))
  const file = join(folder, 'sum.js')
  const answer = join(folder, 'result.json')
  await writeFile(file, code)
  const init = join(folder, editor === 'nvim' ? 'init.lua' : 'init.el')
  await writeFile(init, configuration)
  // What an installed incipit is.
  const bin = join(folder, 'bin')
  await mkdir(bin)
  await writeFile(join(bin, 'incipit'), `#!/bin/sh\nexec '${process.execPath}' '${incipit}' "$@"\n`, { mode: 0o755 })
  const settings = { model: smol, share: false, threads: 1, contextTokens: 1024, minAcceptance: 0, maxTokens: 16 }
  const env = {
    ...process.env,
    INCIPIT_CACHE: join(folder, 'cache'),
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    INCIPIT_SETTINGS: JSON.stringify(settings),
    INCIPIT_FILE: file,
    INCIPIT_RESULT: answer,
    XDG_STATE_HOME: folder,
  }
  const scripts = fileURLToPath(new URL('./editors', import.meta.url))
  const { stderr } = spawnSync(editor, args(file, init, scripts), {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 120_000,
  })
  const written = await readFile(answer, 'utf8').catch(() => JSON.stringify({ failure: stderr }))
  const result: Result = JSON.parse(written)
  assert.equal(result.failure, undefined)
  const [entry] = result.entries
  const word = typeof entry === 'string' ? entry : entry?.word
  // Editors filter the list by the word before the cursor.
  assert.ok(word?.startsWith('val'), JSON.stringify(result.entries))
  const line = result.completed.split('\n')[7]!
  assert.ok(line.startsWith('const next = val') && line.length > 'const next = val'.length, line)
  assert.equal(result.action, 'Next edit, line 4: sum')
  assert.equal(result.edited.trimEnd(), code.replaceAll('total', 'sum').trimEnd())
}

test('Neovim', { skip: skipUnless(runsFull('nvim', '--version'), 'nvim') }, async (t) => {
  const given = 'vim.fn.json_decode(vim.env.INCIPIT_SETTINGS)'
  const configuration = await configured('Neovim', '{ minAcceptance = 0.25 }', given)
  await drive(t, 'nvim', configuration, (file, init, scripts) => [
    ...['--headless', '-u', init, '-i', 'NONE', '-n', file],
    ...['-c', `luafile ${join(scripts, 'neovim.lua')}`],
  ])
})

const lspMode = ['--batch', '--eval', "(progn (require 'package) (package-initialize) (require 'lsp-mode))"]

test('Emacs with lsp-mode', { skip: skipUnless(runsFull('emacs', ...lspMode), 'emacs with lsp-mode') }, async (t) => {
  const given = `(json-parse-string (getenv "INCIPIT_SETTINGS") :object-type 'plist :false-object :json-false)`
  const configuration = await configured('Emacs', "'(:minAcceptance 0.25)", given)
  await drive(t, 'emacs', configuration, (_file, init, scripts) => [
    // Without a window the packages are not found before the configuration is read.
    ...['--batch', '-f', 'package-initialize', '-l', init],
    ...['-l', join(scripts, 'emacs.el')],
  ])
})
