import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import {
  CancellationTokenSource,
  CompletionRequest,
  DidChangeTextDocumentNotification,
} from 'vscode-languageserver-protocol/node'
import { prelude } from '../../engine/test/fixtures/prelude.ts'
import { Editor, textOf, whenFull } from './editor.ts'

// A real server over standard input and output, and Prelude, the model of this repository. It knows the shape of code and
// not much more, so nothing is held back here, and what it says is only compared with itself.

const settings = { minAcceptance: 0, share: false, threads: 1, patienceMs: 10_000 }
const head = `/** Numbers. */
export function sum(values: readonly number[]): number {
  let total = 0
  for (const value of values) {
    const next = `
const tail = `
  }
  return total
}
`
/** A place where the model says the same every time: computed in other steps, a near tie may end in another way. */
const sure = `${'  return values.length\n'.repeat(6)}  return values.|\n`

let folder: string
let editor: Editor
let documents = 0

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'incipit-lsp-'))
  editor = await start()
  await editor.until('ready')
})
after(async () => {
  await editor.quit()
  await rm(folder, { recursive: true })
})

function start(more: Parameters<typeof Editor.start>[0] = {}): Promise<Editor> {
  const env = { INCIPIT_CACHE: join(folder, 'cache'), INCIPIT_MODEL: '' }
  return Editor.start({ settings: { ...settings, model: prelude }, folder: pathToFileURL(folder).href, env, ...more })
}

const models = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../shared/models', import.meta.url))
const smol = join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')

function uriOf(name: string): string {
  return pathToFileURL(join(folder, name)).href
}

/** A document with `|` for the cursor. */
async function opened(text: string, name = `file${++documents}.ts`): Promise<{ uri: string; at: number }> {
  const uri = uriOf(name)
  await editor.open(uri, text.replace('|', ''))
  return { uri, at: text.indexOf('|') }
}

async function lastTrace() {
  return (await editor.trace()).at(-1)!
}

/** Of the last prompt, how many tokens were not computed before. That is told when the completion is over. */
async function computedRows(): Promise<number> {
  await editor.until('ready')
  const { promptTokens, cachedTokens } = (await lastTrace()).prompt!
  return promptTokens! - cachedTokens!
}

test('what it can do is what the editor can show', async () => {
  assert.ok(editor.initialized.capabilities.inlineCompletionProvider)
  assert.equal(editor.initialized.capabilities.completionProvider, undefined)
})

test('asked while the engine is loaded, an editor that asks once waits; what was taken back or changed is not shown', async () => {
  await using early = await start()
  const uri = uriOf('early.ts')
  await early.open(uri, head)
  const source = new CancellationTokenSource()
  const cancelled = early.complete(uri, head.length, { token: source.token }).catch(() => [])
  const changed = early.complete(uri, head.length)
  const cursor = await early.type(uri, head.length, 'va')
  const asked = early.ghost(uri, cursor)
  source.cancel()
  assert.deepEqual(await cancelled, [])
  assert.notEqual(early.statuses.at(-1)?.state, 'ready', 'it was answered before there was an engine')
  assert.ok((await asked).length > 0)
  assert.deepEqual(await changed, [])
})

test('a completion, and typing through it without another computation', async () => {
  const { uri, at } = await opened(`${head}|${tail}`)
  const ghost = await editor.ghost(uri, at)
  assert.ok(ghost.length > 2, ghost)
  assert.equal((await lastTrace()).source, 'asked')
  let cursor = at
  for (const character of ghost.slice(0, -1)) {
    cursor = await editor.type(uri, cursor, character)
    assert.equal(await editor.ghost(uri, cursor), ghost.slice(cursor - at))
    assert.equal((await lastTrace()).source, 'typed')
  }
  // And back.
  await editor.edit(uri, at, cursor, '')
  assert.equal(await editor.ghost(uri, at), ghost)
  assert.equal((await lastTrace()).source, 'known')
})

test('something else is typed: another completion, from what is computed already', async () => {
  const { uri, at } = await opened(`${head}|${tail}`)
  const ghost = await editor.ghost(uri, at)
  const other = ghost.startsWith('z') ? 'y' : 'z'
  const cursor = await editor.type(uri, at, other)
  const next = await editor.ghost(uri, cursor)
  assert.notEqual(next, ghost.slice(1))
  assert.equal((await lastTrace()).source, 'asked')
  // A prompt is computed but for what was typed: here of the order suffix, prefix, middle.
  const rows = await computedRows()
  assert.ok(rows <= 4, `${rows} rows`)
})

test('while a completion is shown the next one is computed', async () => {
  const { uri, at } = await opened(`${head}|${tail}`)
  const ghost = await editor.ghost(uri, at)
  const cursor = await editor.type(uri, at, ghost)
  await sleep(200)
  // As an editor indents it.
  const next = await editor.type(uri, cursor, '\n    ')
  assert.ok((await editor.ghost(uri, next)).length > 0)
  assert.notEqual((await lastTrace()).source, 'asked')
})

test('nothing is shown below the bound, but it is said to the end of its line: whoever types into it finds it there', async (t) => {
  const configure = (minAcceptance: number) => editor.connection.sendRequest('incipit/configure', { minAcceptance })
  const { uri, at } = await opened(`${'import assert from "node:assert/strict"\n'.repeat(8)}import assert |\n`)
  await configure(1)
  t.after(() => configure(0))
  assert.equal(await editor.ghost(uri, at), '')
  assert.equal((await lastTrace()).silence, 'less likely than the bound')
  await editor.until('ready')
  await configure(0)
  const ghost = await editor.ghost(uri, at)
  assert.equal((await lastTrace()).source, 'known')
  const cursor = await editor.type(uri, at, ghost.slice(0, 2))
  assert.equal(await editor.ghost(uri, cursor), ghost.slice(2))
  assert.equal((await lastTrace()).source, 'typed')
})

test('where the cursor goes, what stands before it is computed before anybody asks', async () => {
  const { uri, at } = await opened(`// warm\n${head}|${tail}`)
  const text = editor.text(uri).slice(0, at)
  const position = { line: text.split('\n').length - 1, character: at - text.lastIndexOf('\n') - 1 }
  await editor.connection.sendNotification('incipit/cursor', { uri, position })
  await sleep(500)
  await editor.ghost(uri, at)
  const rows = await computedRows()
  assert.ok(rows <= 4, `${rows} rows`)
})

test('asked by the user there are several, all different', async () => {
  const { uri, at } = await opened(`${head}|${tail}`)
  const texts = (await editor.complete(uri, at, { invoked: true })).map(textOf)
  assert.ok(texts.length > 1, JSON.stringify(texts))
  assert.equal(new Set(texts).size, texts.length)
})

test('a cancelled request ends in any state, and the server goes on', async () => {
  const { uri, at } = await opened(sure)
  const expected = await editor.ghost(uri, at)
  for (const ms of [0, 1, 5, 20, 60]) {
    const another = await opened(`// ${ms}\n${head}|${tail}`)
    const source = new CancellationTokenSource()
    const request = editor.complete(another.uri, another.at, { token: source.token }).catch(() => [])
    await sleep(ms)
    source.cancel()
    await request
  }
  await sleep(100)
  assert.equal((await editor.until('ready')).state, 'ready', 'nothing runs any more')
  assert.equal(await editor.ghost(uri, at), expected)
})

test('two wait for the same completion, and one of them does no more; nobody waits for several', async () => {
  const { uri, at } = await opened(`// two\n${sure}`)
  const source = new CancellationTokenSource()
  const first = editor.complete(uri, at, { token: source.token }).catch(() => [])
  const second = editor.ghost(uri, at)
  await sleep(1)
  source.cancel()
  await first
  assert.ok((await second).length > 0)
  const third = new CancellationTokenSource()
  const several = editor.complete(uri, at, { invoked: true, token: third.token }).catch(() => [])
  await sleep(5)
  third.cancel()
  await several
  await editor.until('ready')
})

test('closed or renamed while a completion is computed', async () => {
  const { uri, at } = await opened(`// closed\n${sure}`)
  const text = editor.text(uri)
  const asked = editor.complete(uri, at)
  await editor.close(uri)
  assert.deepEqual(await asked, [])
  const renamed = uriOf('another-name.ts')
  await editor.open(renamed, text)
  assert.ok((await editor.ghost(renamed, at)).length > 0)
  assert.equal((await lastTrace()).path, 'another-name.ts')
  await editor.until('ready')
})

test('many keystrokes at once, each cancelling the one before: only the last is computed', async () => {
  const { uri, at } = await opened(`${head}|${tail}`)
  let cursor = at
  const requests: Promise<unknown>[] = []
  let source = new CancellationTokenSource()
  for (const character of 'total = total + va') {
    source.cancel()
    source = new CancellationTokenSource()
    cursor = await editor.type(uri, cursor, character)
    requests.push(editor.complete(uri, cursor, { token: source.token }).catch(() => []))
  }
  await Promise.all(requests)
  assert.ok((await editor.ghost(uri, cursor)).length > 0)
  await editor.until('ready')
})

test('line ends, tabs and characters of two code units stay what they are', async () => {
  const { uri, at } = await opened('// 🙂🙂\r\nexport class A {\r\n\tconstructor() {\r\n\t\tthis.a = |\r\n\t}\r\n}\r\n')
  const [item] = await editor.complete(uri, at)
  assert.deepEqual(item?.range?.start, { line: 3, character: 11 })
  assert.ok(!/(?<!\r)\n/.test(textOf(item)))
  const { prompt } = await lastTrace()
  assert.ok(!prompt!.before.includes('\r') && prompt!.before.includes('🙂🙂'))
})

test('texts and places that no editor should send', async () => {
  const junk = [
    'let a = "\ud83d"\nlet b = |\n',
    '\ufefflet a = 1\rlet b = |\rlet c = 3\r',
    '\u0001\u0007\u001b[31m\u2028\u202e|\ufffd\u0085',
    `${'x'.repeat(300)}|${'\ud83d\ude42'.repeat(300)}`,
  ]
  for (const text of junk) {
    const { uri, at } = await opened(text)
    await editor.complete(uri, at)
    assert.equal((await lastTrace()).silence?.startsWith('failed'), undefined, (await lastTrace()).silence)
  }
  const { uri, at } = await opened(`${head}|${tail}`)
  const ghost = await editor.ghost(uri, at)
  for (const position of [
    { line: 10_000, character: 0 },
    { line: 0, character: 10_000 },
  ]) {
    const context = { triggerKind: 2 }
    await editor.connection.sendRequest('textDocument/inlineCompletion', { textDocument: { uri }, position, context })
  }
  // In the middle of a character of two code units.
  const smile = await opened('// 🙂|')
  await editor.complete(smile.uri, smile.at - 1)
  // A change of all of the text, and two of which the second is meant for what the first left.
  const contentChanges = [
    { text: `${head}${tail}` },
    { range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }, text: '\n' },
    { range: { start: { line: 0, character: 0 }, end: { line: 1, character: 0 } }, text: '' },
  ]
  const textDocument = { uri, version: 7 }
  await editor.connection.sendNotification(DidChangeTextDocumentNotification.type, { textDocument, contentChanges })
  assert.equal(await editor.ghost(uri, at), ghost)
  await editor.until('ready')
})

test('nothing inside a word, in a file of secrets, in a binary file', async () => {
  const inside = await opened('const abc|def = 1\n')
  assert.equal(await editor.ghost(inside.uri, inside.at), '')
  assert.equal((await lastTrace()).silence, 'inside a word')
  const env = await opened('A=1\nB=|', '.env')
  assert.equal(await editor.ghost(env.uri, env.at), '')
  assert.equal((await lastTrace()).silence, 'the file holds secrets')
  const binary = await opened('PK\0\0\u0001|')
  assert.equal(await editor.ghost(binary.uri, binary.at), '')
  assert.equal((await lastTrace()).silence, 'the file is binary')
})

test('documents of 2 MB, empty ones, ones that are one line, unsaved and renamed ones', async () => {
  const big = await opened(`${'export const filler = [1, 2, 3]\n'.repeat(65_000)}${head}|${tail}`)
  assert.ok((await editor.ghost(big.uri, big.at)).length > 0)
  const cursor = await editor.type(big.uri, big.at, 'x')
  await editor.ghost(big.uri, cursor)
  await editor.close(big.uri)
  const line = await opened(`${'f(1);'.repeat(50_000)}|`)
  await editor.ghost(line.uri, line.at)
  const empty = await opened('|')
  await editor.ghost(empty.uri, 0)
  await editor.open('untitled:Untitled-1', head)
  const unsaved = await editor.ghost('untitled:Untitled-1', head.length)
  assert.ok(unsaved.length > 0)
  await editor.close('untitled:Untitled-1')
  const renamed = await opened(`${head}|`, 'renamed.ts')
  assert.equal(await editor.ghost(renamed.uri, renamed.at), unsaved)
  await editor.until('ready')
})

test('what goes into a prompt can be seen, without what looks like a key', async () => {
  const { uri, at } = await opened(`${head}secret(/* AKIAIOSFODNN7EXAMPLE */ |`)
  await editor.ghost(uri, at)
  const { prompt } = await lastTrace()
  assert.ok(prompt!.before.includes('secret(/* *** */'))
  // In a small context the file itself is worth more than others.
  assert.deepEqual(prompt!.related, [])
})

test('other files of the workspace go into the prompt, but not those that git ignores, nor secrets', {
  skip: whenFull || (existsSync(smol) ? false : `${smol} is missing`),
}, async () => {
  await writeFile(join(folder, '.gitignore'), 'generated.ts\n')
  await using wide = await start({ settings: { ...settings, model: smol } })
  await wide.until('ready')
  await wide.open(uriOf('other.ts'), 'export const total = 5\nconst password = "hunter2hunter2"\n')
  await wide.open(uriOf('generated.ts'), 'export const total = 6\n')
  await wide.open(uriOf('.env'), 'total=7\n')
  await wide.connection.sendNotification('incipit/context', {
    chunks: [{ source: 'clipboard', text: 'total(copied)' }],
  })
  const uri = uriOf('main.ts')
  await wide.open(uri, head)
  await wide.ghost(uri, head.length)
  const { prompt } = (await wide.trace()).at(-1)!
  assert.deepEqual(prompt!.related, [
    { source: 'other.ts', text: 'export const total = 5\nconst password = "***"' },
    { source: 'clipboard', text: 'total(copied)' },
  ])
  // What the editor gathers of this file once somebody rests in it.
  const diagnostics = { source: 'diagnostics', text: 'line 5: total is not defined' }
  await wide.connection.sendNotification('incipit/context', { chunks: [diagnostics] })
  await wide.ghost(uri, await wide.type(uri, head.length, 'x'))
  assert.deepEqual((await wide.trace()).at(-1)!.prompt!.related.at(-1), diagnostics)
})

test('an editor without inline completions gets them in its list', async () => {
  await using old = await start({ inline: false })
  assert.ok(old.initialized.capabilities.completionProvider)
  await old.until('ready')
  const uri = uriOf('list.ts')
  const text = `${head}tot`
  await old.open(uri, text)
  const position = { line: 4, character: text.split('\n')[4]!.length }
  const list = await old.connection.sendRequest(CompletionRequest.type, { textDocument: { uri }, position })
  const items = Array.isArray(list) ? list : list!.items
  const edit = items[0]!.textEdit as { newText: string; range: { start: { character: number } } }
  // Emacs reads no NUL in JSON.
  assert.ok(!JSON.stringify(list).includes('\\u0000'))
  assert.ok(edit.newText.startsWith('tot'), 'editors filter by the word at the cursor')
  assert.equal(edit.range.start.character, position.character - 3)
})

test('a model that is not there is said, and another one is taken when it is chosen', async () => {
  await using lost = await start({ settings: { ...settings, model: 'no-such-model' } })
  const { message } = await lost.until('failed')
  assert.match(message!, /no-such-model/)
  const uri = uriOf('lost.ts')
  await lost.open(uri, head)
  assert.equal(await lost.ghost(uri, head.length), '')
  await lost.connection.sendRequest('incipit/configure', { model: prelude })
  await lost.until('ready')
  assert.ok((await lost.ghost(uri, head.length)).length > 0)
})

test('switched off it says nothing and holds no engine', async () => {
  await using quiet = await start()
  await quiet.until('ready')
  await quiet.connection.sendRequest('incipit/configure', { enabled: false })
  assert.equal((await quiet.until('off')).state, 'off')
  const uri = uriOf('quiet.ts')
  await quiet.open(uri, head)
  assert.equal(await quiet.ghost(uri, head.length), '')
})

test('the editor goes away: so does the server, with its engine', async () => {
  const gone = await start()
  await gone.until('ready')
  assert.equal(await gone.quit(), 0)
})
