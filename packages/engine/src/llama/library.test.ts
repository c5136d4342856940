import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { model, temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { libraryVersion } from './layouts.ts'
import { library } from './library.ts'

const { path, skip } = model('stories260K.gguf')
const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const run = promisify(execFile)

/** Runs code in a process of its own (the library is loaded once per process) and returns what it printed. */
async function inChild(code: string, env: Record<string, string> = {}): Promise<string> {
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  const imports = `
    import { Model } from ${url('./model.ts')}
    import { Context } from ${url('./context.ts')}
    import { Batch } from ${url('./batch.ts')}
    import { Threadpool } from ${url('./threadpool.ts')}
    const path = ${JSON.stringify(path)}
    const smol = ${JSON.stringify(smol.path)}`
  const args = ['--input-type=module', '-e', imports + code]
  const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...env }, timeout: 60_000 })
  return stdout
}

/** Tries to load a model with the libraries of a folder, twice, and prints what came of it. */
async function loadWith(directory: string): Promise<string> {
  const code = `
    for (const attempt of [1, 2]) {
      await Model.load(path).then(() => console.log('loaded'), (error) => console.log(error.code, error.message))
    }
    setTimeout(() => console.log('alive'), 1)`
  return inChild(code, { INCIPIT_LLAMA_LIB: directory })
}

/** A copy of the libraries whose libllama is changed. */
async function copyOfLibraries(t: TestContext, change: (bytes: Buffer) => Buffer): Promise<string> {
  const directory = join(await temporaryDirectory(t), 'libraries')
  await cp(library().place.directory, directory, { recursive: true })
  const name = (await readdir(directory)).find((entry) =>
    /^(lib)?llama(\.[a-z]+)?(\.v[\d.]+)?\.(so|dylib)$/.test(entry),
  )!
  await writeFile(join(directory, name), change(await readFile(join(directory, name))))
  return directory
}

test('the folder named by INCIPIT_LLAMA_LIB is used', { skip }, async (t) => {
  const same = await copyOfLibraries(t, (bytes) => bytes)
  assert.equal(await loadWith(same), 'loaded\nloaded\nalive\n')
})

test('another version of the library is refused by name', { skip }, async (t) => {
  const other = await copyOfLibraries(t, (bytes) => {
    const at = bytes.indexOf(`${libraryVersion}\0`)
    assert.ok(at > 0, 'the library carries its version')
    bytes.write('9', at)
    return bytes
  })
  const printed = await loadWith(other)
  assert.match(printed, /^native_library .*9\.5\.0-dev.*\nnative_library .*\nalive\n$/)
})

test('a folder without libraries, or that is not there, is refused by name', { skip }, async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'empty'))
  for (const name of ['empty', 'missing']) {
    assert.match(await loadWith(join(directory, name)), /^native_library .*\nnative_library .*\nalive\n$/)
  }
})

test('a library that cannot be loaded is refused by name', { skip }, async (t) => {
  const broken = await copyOfLibraries(t, () => Buffer.from('not a library'))
  assert.match(await loadWith(broken), /^native_library cannot load[\s\S]*alive\n$/)
})

// Node waits for its native threads when it exits, so a thread that waits for the event loop would never end.
test('an exit while a model loads does not wait for anything', { skip: smol.skip }, async () => {
  for (const delay of [1, 10, 40, 100]) {
    const printed = await inChild(`
      void Model.load(smol)
      setTimeout(() => { console.log('exit'); process.exit(0) }, ${delay})`)
    assert.equal(printed, 'exit\n')
  }
})

test('an exit under a decode stops it', { skip: smol.skip }, async () => {
  const printed = await inChild(`
    const context = new Context(await Model.load(smol), { cells: 2048, sequences: 1, batch: 2048, outputs: 1, threadpool: new Threadpool(1) })
    const batch = new Batch(2048)
    for (let i = 0; i < 2048; i++) batch.add(300, i, [0], i === 2047)
    void context.decode(batch).then((result) => console.log(result))
    setTimeout(() => {
      const start = performance.now()
      process.on('exit', () => console.log('exit'))
      process.exit(0)
    }, 50)`)
  assert.equal(printed, 'exit\n')
})

test('what llama.cpp logs goes to the given log, and nowhere without one', { skip }, async () => {
  const url = JSON.stringify(new URL('./library.ts', import.meta.url).href)
  const code = (logs: string) => `
    const { addNativeLog } = await import(${url})
    const log = (name) => (level, message) => console.log(name, level, message)
    ${logs}
    new Context(await Model.load(path), { cells: 256, sequences: 1, batch: 8, threadpool: new Threadpool(1) })`
  const first = /^first (debug|info|warn) llama\.cpp: /m
  assert.match(await inChild(code('addNativeLog(log("first"))')), first)
  assert.equal(await inChild(code('')), '')
  // A second engine takes nothing away from the first one, and nothing goes to one that has ended.
  const printed = await inChild(code('addNativeLog(log("first")); addNativeLog(log("second"))()'))
  assert.match(printed, first)
  assert.doesNotMatch(printed, /^second/m)
})
