import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  type CodeAction,
  CodeActionRequest,
  ExecuteCommandRequest,
  TextDocumentEdit,
  TextEdit,
} from 'vscode-languageserver-protocol/node'
import { TextDocument } from 'vscode-languageserver-textdocument'
import { prelude } from '../../engine/test/fixtures/prelude.ts'
import type { OfferedEdit } from '../src/protocol/messages.ts'
import { Editor, whenFull } from './editor.ts'

// A real server with a small model that follows instructions.

const models = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../shared/models', import.meta.url))
const smol = join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')
const incipit = fileURLToPath(new URL('../../incipit/src/main.ts', import.meta.url))
const skip = existsSync(smol) ? false : `${smol} is missing`
// What the model writes is the same on every CPU, how likely it held it is not.
const settings = { minAcceptance: 0, share: false, threads: 1, contextTokens: 1024 }

const code = `export function average(values: readonly number[]): number {
  let total = 0
  for (const value of values) {
    total += value
  }
  return total / values.length
}
`

let editor: Editor
before(async () => {
  if (skip) return
  editor = await Editor.start({ settings: { ...settings, model: smol } })
  await editor.until('ready')
})
after(async () => {
  await editor?.quit()
})

/** A document in which one text was replaced by another. */
async function edited(uri: string, old: string, now: string, text = code): Promise<void> {
  await editor.open(uri, text)
  const from = text.indexOf(old)
  await editor.edit(uri, from, from + old.length, now)
}

function nextEdit(uri: string, line: number): Promise<OfferedEdit | null> {
  return editor.connection.sendRequest('incipit/nextEdit', {
    textDocument: { uri },
    position: { line, character: 0 },
  })
}

/** The document as it is with an offer taken. */
function taken(uri: string, { edits }: Pick<OfferedEdit, 'edits'>): string {
  return TextDocument.applyEdits(TextDocument.create(uri, '', 0, editor.text(uri)), [...edits])
}

test('a renamed variable is renamed where it is used', { skip }, async () => {
  const uri = 'file:///rename.ts'
  await edited(uri, 'total', 'sum')
  const offer = await nextEdit(uri, 1)
  assert.ok(offer)
  assert.equal(taken(uri, offer), code.replaceAll('total', 'sum'))
  const { source, prompt } = (await editor.trace()).at(-1)!
  assert.equal(source, 'edit')
  assert.ok(
    prompt!.related.some(({ text }) => text.includes('+ let sum = 0')),
    'what was sent can be seen',
  )
})

test('after a changed signature, and one call as the writer wants it, the next call', { skip }, async () => {
  const uri = 'file:///signature.go'
  const go = (first: string) => `func open(name string, mode int) error {
	return nil
}

func main() {
	err := open("a.txt"${first})
	check(err)
	second := open("b.txt"|)
	check(second)
}
`
  const text = go('').replace('|', '')
  await editor.open(uri, text.replace(', mode int', ''), 'go')
  const parameter = text.indexOf(', mode int')
  await editor.edit(uri, parameter, parameter, ', mode int')
  const call = text.indexOf('"a.txt"') + '"a.txt"'.length
  await editor.edit(uri, call, call, ', 0')
  const offer = await nextEdit(uri, 5)
  assert.equal(offer && taken(uri, offer), go(', 0').replace('|', ', 0'))
})

test('line ends and indentation are those of the file', { skip }, async () => {
  const uri = 'file:///crlf.ts'
  const text = code.replaceAll('\n', '\r\n').replaceAll('  ', '\t')
  await edited(uri, 'total', 'sum', text)
  const offer = await nextEdit(uri, 1)
  assert.equal(taken(uri, offer!), text.replaceAll('total', 'sum'))
})

test('an editor that knows only code actions is offered it there, when somebody looks', { skip }, async () => {
  const uri = 'file:///action.ts'
  await edited(uri, 'total', 'sum')
  const ask = (triggerKind: 1 | 2, only?: string[]) =>
    editor.connection.sendRequest(CodeActionRequest.type, {
      textDocument: { uri },
      range: { start: { line: 1, character: 0 }, end: { line: 1, character: 0 } },
      context: { diagnostics: [], triggerKind, ...(only && { only }) },
    })
  const [action] = (await ask(1)) as CodeAction[]
  assert.equal(action!.title, 'Next edit, line 4: sum')
  const [change] = action!.edit!.documentChanges!.filter(TextDocumentEdit.is)
  assert.equal(taken(uri, { edits: change!.edits.filter(TextEdit.is) }), code.replaceAll('total', 'sum'))
  assert.deepEqual(await ask(2), [], 'a light bulb is not worth a computation')
  assert.deepEqual(await ask(1, ['quickfix']), [])
  assert.equal((await ask(1, ['refactor']))!.length, 1)
})

test('what is not wanted is not offered again', { skip }, async () => {
  const uri = 'file:///rejected.ts'
  await edited(uri, 'total', 'sum')
  const offer = await nextEdit(uri, 1)
  await editor.connection.sendRequest(ExecuteCommandRequest.type, {
    command: 'incipit.rejected',
    arguments: [offer!.id],
  })
  assert.equal(await nextEdit(uri, 1), null)
})

test('nothing that the model holds for less likely than was asked for', { skip }, async (t) => {
  const configure = (minAcceptance: number) => editor.connection.sendRequest('incipit/configure', { minAcceptance })
  await configure(1)
  t.after(() => configure(0))
  const uri = 'file:///unlikely.ts'
  await edited(uri, 'total', 'sum')
  assert.equal(await nextEdit(uri, 1), null)
})

test('nothing where no name changed, in a file of secrets, and when it is switched off', { skip }, async () => {
  const plain = 'file:///plain.ts'
  await edited(plain, 'total = 0', 'total = 1')
  assert.equal(await nextEdit(plain, 1), null)
  const secret = 'file:///.env'
  await edited(secret, 'total', 'sum')
  assert.equal(await nextEdit(secret, 1), null)
  const uri = 'file:///off.ts'
  await edited(uri, 'total', 'sum')
  await editor.connection.sendRequest('incipit/configure', { nextEdits: false })
  assert.equal(await nextEdit(uri, 1), null)
  await editor.connection.sendRequest('incipit/configure', { nextEdits: true })
  assert.ok(await nextEdit(uri, 1))
})

test('from an incipit that serves: by its address, and by its socket', { skip: whenFull || skip }, async (t) => {
  const cache = await mkdtemp(join(tmpdir(), 'incipit-next-edit-'))
  t.after(() => rm(cache, { recursive: true, force: true, maxRetries: 5 }))
  const env = { INCIPIT_CACHE: cache }
  const args = [incipit, 'serve', '--model', smol, '--port', '0', '--threads', '1', '--cut', 'none']
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Its output is read here, also where the tests themselves are printed in colour.
    env: { ...process.env, ...env, FORCE_COLOR: undefined, NO_COLOR: '1' },
  })
  t.after(async () => {
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  })
  let said = ''
  while (!said.includes('serves on')) said += String((await once(child.stdout, 'data'))[0])
  const [, server = ''] = /serves on (\S+)/.exec(said) ?? []
  for (const from of [{ server }, { model: smol, share: true }]) {
    await using other = await Editor.start({ settings: { ...from, minAcceptance: 0 }, env })
    await other.until('ready')
    const uri = 'file:///served.ts'
    await other.open(uri, code)
    const at = code.indexOf('total')
    await other.edit(uri, at, at + 5, 'sum')
    const params = { textDocument: { uri }, position: { line: 1, character: 0 } }
    const offer = await other.connection.sendRequest<OfferedEdit | null>('incipit/nextEdit', params)
    assert.equal(offer?.edits.length, 2, JSON.stringify(await other.trace()))
  }
})

test('a model that follows no instructions offers nothing', async () => {
  await using other = await Editor.start({ settings: { ...settings, model: prelude } })
  await other.until('ready')
  const uri = 'file:///base.ts'
  await other.open(uri, code)
  const from = code.indexOf('total')
  await other.edit(uri, from, from + 5, 'sum')
  const params = { textDocument: { uri }, position: { line: 1, character: 0 } }
  assert.equal(await other.connection.sendRequest('incipit/nextEdit', params), null)
})
