import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { IncipitError } from '@incipit/engine/api'
import { closedPort, FakeHub, type FakeHubOptions, sha256 } from '../../test/helpers/fake-hub.ts'
import { temporary } from '../../test/helpers/temporary.ts'
import { download } from './download.ts'
import { lockFile } from './lock.ts'

const content = randomBytes(300_000)
const reference = 'hf:owner/repo/sub/model.gguf'
const files = { 'owner/repo/sub/model.gguf': content }

async function prepare(test: TestContext, options: Partial<FakeHubOptions> = {}) {
  const hub = await FakeHub.start({ files, ...options })
  test.after(() => hub[Symbol.asyncDispose]())
  const store = await temporary(test)
  const notes: string[] = []
  const seen: number[] = []
  const progress = {
    update: (done: number) => void seen.push(done),
    note: (line: string) => void notes.push(line),
    end() {},
  }
  const get = (what = reference, env = {}) =>
    download(what, { store, env: { HF_ENDPOINT: hub.url, ...env }, progress, retryDelayMs: 1, lockStaleMs: 2000 })
  return { hub, store, notes, seen, get, folder: join(store, 'owner', 'repo', 'sub') }
}

function failure(pattern: RegExp): (error: unknown) => true {
  return (error) => {
    assert(error instanceof IncipitError)
    assert.equal(error.code, 'model_download')
    assert.match(error.message, pattern)
    assert.match(error.message, /--model PATH/)
    return true
  }
}

describe('download', () => {
  it('puts the file into the store under its repository, and nothing else', async (test) => {
    const { get, store, folder, seen } = await prepare(test)
    const path = await get()
    assert.equal(path, join(store, 'owner', 'repo', 'sub', 'model.gguf'))
    assert.deepEqual(await readFile(path), content)
    assert.deepEqual(await readdir(folder), ['model.gguf'])
    assert.equal(seen.at(-1), content.length)
  })

  it('does not ask the hub for a file that is there', async (test) => {
    const { get, hub } = await prepare(test)
    await get()
    const before = hub.ranges.length
    await get()
    assert.equal(hub.ranges.length, before)
  })

  it('continues an interrupted transfer at the byte where it broke', async (test) => {
    const { get, hub, notes } = await prepare(test, { breakAfter: (attempt) => (attempt < 2 ? 100_000 : undefined) })
    assert.deepEqual(await readFile(await get()), content)
    assert.deepEqual(hub.ranges, ['', 'bytes=100000-299999', 'bytes=200000-299999'])
    assert.match(notes.join('\n'), /interrupted after 100\.0 kB/)
  })

  it('continues what an earlier call left behind', async (test) => {
    let broken = true
    const { get, hub, folder } = await prepare(test, { breakAfter: () => (broken ? 0 : undefined) })
    broken = true
    await assert.rejects(get(), failure(/the same command continues there/))
    const part = (await readdir(folder)).find((name) => name.endsWith('.part'))
    assert(part !== undefined)
    await writeFile(join(folder, part), content.subarray(0, 123_456))
    broken = false
    assert.deepEqual(await readFile(await get()), content)
    assert.equal(hub.ranges.at(-1), 'bytes=123456-299999')
  })

  it('gives up after several interruptions without progress and keeps what it has', async (test) => {
    const { get, folder } = await prepare(test, { breakAfter: (attempt) => (attempt === 0 ? 5000 : 0) })
    await assert.rejects(get(), failure(/broke after 5\.0 kB of 300\.0 kB/))
    const left = await readdir(folder)
    assert.equal(left.length, 1)
    assert.deepEqual(await readFile(join(folder, left[0]!)), content.subarray(0, 5000))
  })

  it('starts over when the server cannot continue', async (test) => {
    const breakAfter = (attempt: number) => (attempt === 0 ? 50_000 : undefined)
    const { get } = await prepare(test, { breakAfter, ignoreRange: true })
    assert.deepEqual(await readFile(await get()), content)
  })

  it('refuses content with another checksum, and removes it', async (test) => {
    const wrong = sha256(Buffer.from('something else'))
    const { get, folder } = await prepare(test, { etag: wrong })
    await assert.rejects(get(), failure(new RegExp(`checksum .* the hub states ${wrong}`)))
    assert.deepEqual(await readdir(folder), [])
  })

  it('refuses a part file that is not the beginning of this content', async (test) => {
    let broken = true
    const { get, folder } = await prepare(test, { breakAfter: () => (broken ? 0 : undefined) })
    await assert.rejects(get())
    await writeFile(join(folder, (await readdir(folder))[0]!), randomBytes(1000))
    broken = false
    await assert.rejects(get(), failure(/checksum/))
    assert.deepEqual(await readFile(await get()), content)
  })

  it('takes the checksum from the listing where the entity tag is none', async (test) => {
    const { get, notes } = await prepare(test, { etag: 'abc' })
    await get()
    assert.deepEqual(notes, [])
  })

  it('sends the token of HF_TOKEN', async (test) => {
    const { get, hub } = await prepare(test)
    await get(reference, { HF_TOKEN: 'hf_secret' })
    assert.deepEqual([...hub.authorizations], ['Bearer hf_secret'])
  })

  it('names the files that exist when the one asked for does not', async (test) => {
    const { get } = await prepare(test)
    await assert.rejects(
      get('hf:owner/repo/other.gguf'),
      failure(/no file other\.gguf; its GGUF files are sub\/model\.gguf/),
    )
  })

  it('says that a repository does not exist', async (test) => {
    const { get } = await prepare(test)
    await assert.rejects(get('hf:nobody/nothing/model.gguf'), failure(/no such repository or revision \(status 404\)/))
  })

  it('asks for a file when only a repository is named', async (test) => {
    const { get } = await prepare(test)
    await assert.rejects(get('hf:owner/repo'), failure(/one of its files is wanted .*; its files are sub\/model\.gguf/))
  })

  it('says what to do without a network', async (test) => {
    const { get } = await prepare(test)
    const endpoint = `http://127.0.0.1:${await closedPort()}`
    await assert.rejects(
      get(reference, { HF_ENDPOINT: endpoint }),
      failure(/cannot be reached \(ECONNREFUSED\).*model store/),
    )
  })

  it('leaves the file to another process that is downloading it', async (test) => {
    const { get, folder } = await prepare(test, { breakAfter: () => 0 })
    await assert.rejects(get())
    const part = (await readdir(folder))[0]!
    const lock = await lockFile(join(folder, `${part}.lock`))
    await assert.rejects(get(), failure(/another process is downloading the same file/))
    await lock.release()
  })

  it('follows a redirect to another host, which is not told the token', async (test) => {
    const elsewhere = await FakeHub.start({
      files,
      breakAfter: (attempt) => (attempt < 1 ? 100_000 : undefined),
      etag: 'x',
    })
    test.after(() => elsewhere[Symbol.asyncDispose]())
    const { get, hub } = await prepare(test, { redirectTo: elsewhere.url })
    assert.deepEqual(await readFile(await get(reference, { HF_TOKEN: 'hf_secret' })), content)
    assert.deepEqual(elsewhere.ranges, ['', 'bytes=100000-299999'])
    assert.deepEqual([...hub.authorizations], ['Bearer hf_secret'])
    assert.deepEqual([...elsewhere.authorizations], [undefined])
  })

  it('gives up where less arrives than was announced, and keeps nothing as a model', async (test) => {
    const { get, folder } = await prepare(test, { announced: 400_000 })
    await assert.rejects(get(), failure(/broke after 300\.0 kB of 400\.0 kB/))
    assert.deepEqual(
      (await readdir(folder)).map((name) => name.split('.').at(-1)),
      ['part'],
    )
  })

  it('takes no more than was announced', async (test) => {
    const { get, folder } = await prepare(test, { announced: 200_000 })
    await assert.rejects(get(), failure(/more than the 200000 bytes that were announced/))
    assert.deepEqual(
      (await readdir(folder)).map((name) => name.split('.').at(-1)),
      ['part'],
    )
  })

  it('does not begin what the disk has no room for', async (test) => {
    const { get, hub } = await prepare(test, { announced: 10 ** 18 })
    await assert.rejects(get(), failure(/ free, 1000000\.0 TB are needed/))
    assert.deepEqual(hub.ranges, [])
  })

  it('takes a file by its quantization, and asks nobody for one that is there', async (test) => {
    const two = { 'o/r/m-Q4_K_M.gguf': content.subarray(0, 10), 'o/r/m-Q8_0.gguf': content.subarray(0, 20) }
    const { get, hub, store } = await prepare(test, { files: two })
    const path = join(store, 'o', 'r', 'm-Q8_0.gguf')
    assert.equal(await get('hf:o/r:Q8_0'), path)
    const asked = hub.ranges.length
    assert.equal(await get('hf:o/r:Q8_0'), path)
    assert.equal(hub.ranges.length, asked)
    const none = failure(/none of its files is quantized as Q2_K; its files are m-Q4_K_M\.gguf, m-Q8_0\.gguf/)
    await assert.rejects(get('hf:o/r:Q2_K'), none)
  })

  it('puts nothing outside of the store, whatever the hub lists', async (test) => {
    const { get } = await prepare(test, { files: { 'o/r/../../../m-Q8_0.gguf': content } })
    await assert.rejects(get('hf:o/r:Q8_0'), failure(/has no GGUF files/))
  })

  it('fetches all parts of a split model', async (test) => {
    const split = {
      'o/r/m-00001-of-00002.gguf': content.subarray(0, 10),
      'o/r/m-00002-of-00002.gguf': content.subarray(10, 30),
    }
    const { get, store } = await prepare(test, { files: split })
    assert.equal(await get('hf:o/r/m-00001-of-00002.gguf'), join(store, 'o', 'r', 'm-00001-of-00002.gguf'))
    assert.deepEqual(await readFile(join(store, 'o', 'r', 'm-00002-of-00002.gguf')), content.subarray(10, 30))
    assert.equal(await get('hf:o/r/m-00002-of-00002.gguf'), join(store, 'o', 'r', 'm-00001-of-00002.gguf'))
  })

  for (const bad of ['hf:', 'hf:owner', 'hf:owner/repo/../../x.gguf', 'hf:../repo/x.gguf', 'hf:owner/repo//x.gguf']) {
    it(`refuses the reference ${bad}`, async (test) => {
      const { get } = await prepare(test)
      await assert.rejects(get(bad), { code: 'model_download' })
    })
  }
})
