import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

// Editors themselves, without a window, where they are installed: their list completes, a code action makes the next edit.

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

function skipUnless(installed: boolean, name: string): string | false {
  if (!installed) return `${name} is not installed`
  return existsSync(smol) ? false : `${smol} is missing`
}

/** @param args of the editor, for a file to open and the folder of its script */
async function drive(t: TestContext, editor: string, args: (file: string, scripts: string) => string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'incipit-editor-'))
  t.after(() => rm(folder, { recursive: true, maxRetries: 5 }))
  const file = join(folder, 'sum.js')
  const answer = join(folder, 'result.json')
  await writeFile(file, code)
  const settings = { model: smol, share: false, threads: 1, contextTokens: 1024, minAcceptance: 0, maxTokens: 16 }
  const env = {
    ...process.env,
    INCIPIT_CACHE: join(folder, 'cache'),
    INCIPIT_COMMAND: JSON.stringify([process.execPath, incipit, 'lsp']),
    INCIPIT_SETTINGS: JSON.stringify(settings),
    INCIPIT_FILE: file,
    INCIPIT_RESULT: answer,
    XDG_STATE_HOME: folder,
  }
  const scripts = fileURLToPath(new URL('./editors', import.meta.url))
  const { stderr } = spawnSync(editor, args(file, scripts), { cwd: folder, env, encoding: 'utf8', timeout: 120_000 })
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

test('Neovim', { skip: skipUnless(runs('nvim', '--version'), 'nvim') }, (t) =>
  drive(t, 'nvim', (file, scripts) => [
    ...['--headless', '--clean', '-n', file],
    ...['-c', 'set filetype=javascript', '-c', `luafile ${join(scripts, 'neovim.lua')}`],
  ]),
)

const lspMode = ['--batch', '--eval', "(progn (require 'package) (package-initialize) (require 'lsp-mode))"]

test('Emacs with lsp-mode', { skip: skipUnless(runs('emacs', ...lspMode), 'emacs with lsp-mode') }, (t) =>
  drive(t, 'emacs', (_file, scripts) => ['--batch', '-l', join(scripts, 'emacs.el')]),
)
