import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { incipit, missing, smol, stories, withoutNative } from './helpers/command.ts'
import { closedPort } from './helpers/fake-hub.ts'

describe('the command line', () => {
  it('prints its version', async () => {
    const { code, stdout } = await incipit(['--version'])
    assert.equal(code, 0)
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
  })

  it('prints help with every command', async () => {
    const { code, stdout, stderr } = await incipit(['--help'])
    assert.equal(code, 0)
    assert.equal(stderr, '')
    for (const command of [
      'run',
      'chat',
      'serve',
      'lsp',
      'pull',
      'list',
      'rm',
      'inspect',
      'tune',
      'simulate',
      'doctor',
    ])
      assert.match(stdout, new RegExp(`^  ${command} `, 'm'))
  })

  for (const args of [['--version'], ['--help'], ['pull', '--help'], ['serve', '--help'], ['help', 'tune']]) {
    it(`${args.join(' ')} does not load the native library`, async () => {
      const { code, stderr } = await incipit(args, { env: withoutNative })
      assert.deepEqual([code, stderr], [0, ''])
    })
  }

  it('looks for a model before it loads the native library', async () => {
    const run = async (model: string) => (await incipit(['run', '--model', model, 'x'], { env: withoutNative })).stderr
    assert.match(await run('/nowhere/model.gguf'), /\(model_not_found\)\n$/)
    // What shows that it would have been noticed.
    assert.match(await run(import.meta.filename), /koffi was loaded/)
  })

  it('pulls into a given store without the native library', async () => {
    const env = { ...withoutNative, HF_ENDPOINT: `http://127.0.0.1:${await closedPort()}` }
    assert.match((await incipit(['pull', 'hf:owner/repo/model.gguf'], { env })).stderr, /\(model_download\)\n$/)
  })

  for (const command of ['run', 'chat', 'serve']) {
    it(`${command} --help says which policies are lossy`, async () => {
      const { stdout } = await incipit([command, '--help'])
      const text = stdout.replace(/\s+/g, ' ')
      assert.match(text, /tolerant \(LOSSY\)/)
      assert.match(text, /confident \(LOSSY\)/)
      for (const option of ['--tier', '--alpha', '--cache', '--draft', '--experts', '--heads'])
        assert.match(text, new RegExp(option))
    })
  }

  const wrong: [string, string[], RegExp][] = [
    ['no command', [], /Usage: incipit/],
    ['an unknown command', ['fly'], /incipit: unknown command 'fly'/],
    ['an unknown option', ['run', '--fast', 'x'], /incipit: unknown option '--fast'/],
    ['a number that is none', ['run', '-n', 'many', 'x'], /whole number/],
    ['a probability above one', ['run', '--top-p', '2', 'x'], /from 0 to 1/],
    ['an unknown policy', ['run', '--policy', 'bold', 'x'], /committed, provisional, tolerant, confident/],
    ['an unknown tier', ['serve', '--tier', 'vip'], /npc, translation, code, analytics, chat, batch/],
    ['alpha without its policy', ['run', '--alpha', '0.5', 'x'], /--alpha needs --policy tolerant/],
    ['alpha without its policy, serving', ['serve', '--alpha', '0.5'], /--alpha needs --policy tolerant/],
    ['threads that are none', ['run', '--threads', '1,x', 'x'], /one per stage/],
    ['a prefix without a name', ['serve', '--prefix', 'file.txt'], /NAME=FILE/],
    ['a prefix file that is not there', ['serve', '--prefix', 'a=/nowhere'], /prefix file cannot be read/],
    ['a prediction file that is not there', ['run', '--prediction', '/nowhere', 'x'], /prediction file cannot be read/],
    ['a cut that does not ascend', ['run', '--cut', '9,8', 'x'], /ascending/],
    ['an unknown layout of the cache', ['run', '--cache', 'none', 'x'], /unified, separate/],
    ['nobody who may wait', ['serve', '--max-waiting', '0'], /whole number of at least 1/],
    ['two prompts', ['run', 'one', 'two'], /too many arguments/],
    ['an empty prompt', ['run', ''], /the prompt is empty/],
    ['no prompt in an empty pipe', ['run', '-'], /standard input is empty/],
    ['a size that is none', ['serve', '--memory', 'much'], /a size such as 12GiB/],
    ['models in two ways', ['serve', '--model', 'a', '--models', 'b.json'], /give --model or --models/],
    ['a draft of several models', ['serve', '--model', 'a', '--model', 'b', '--draft', 'c'], /--draft belongs to one/],
    ['a models file that is not there', ['serve', '--models', '/nowhere'], /models file cannot be read/],
    ['a port out of range', ['serve', '--port', '70000'], /from 0 to 65535/],
    ['a pull of something else', ['pull', 'model.gguf'], /no short name .*hf:owner\/repo/],
    ['tune without saying what', ['tune'], /--exit.*--skim/],
  ]
  for (const [name, args, message] of wrong) {
    it(`ends with 2 for ${name}, and says why on stderr`, async () => {
      const { code, stdout, stderr } = await incipit(args, { env: withoutNative })
      assert.equal(code, 2)
      assert.equal(stdout, '')
      assert.match(stderr, message)
      assert.doesNotMatch(stderr, /\n\s+at /)
    })
  }

  it('ends with 1 and one line for a failure, with the stack only when INCIPIT_DEBUG=1', async () => {
    const plain = await incipit(['run', '--model', '/nowhere/model.gguf', 'x'])
    assert.equal(plain.code, 1)
    assert.match(plain.stderr, /^incipit: .*\/nowhere\/model\.gguf.* \(model_not_found\)\n$/)
    const debug = await incipit(['run', '--model', '/nowhere/model.gguf', 'x'], { env: { INCIPIT_DEBUG: '1' } })
    assert.match(debug.stderr, /\n {4}at /)
  })

  it('names the error of a file that is no model', async () => {
    const { code, stderr } = await incipit(['run', '--model', import.meta.filename, 'x'])
    assert.equal(code, 1)
    assert.match(stderr, /^incipit: .*not a GGUF.* \(model_invalid\)\n$/)
  })

  it('says how to go on without a network', async () => {
    const env = { HF_ENDPOINT: `http://127.0.0.1:${await closedPort()}` }
    const { code, stdout, stderr } = await incipit(['pull', 'hf:owner/repo/model.gguf'], { env })
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^incipit: .*cannot be reached.*model store.*--model PATH \(model_download\)\n$/)
  })

  it('inspects a chat model', { skip: missing(smol) }, async () => {
    const { code, stdout } = await incipit(['inspect', smol])
    assert.equal(code, 0)
    assert.match(stdout, /architecture +llama, 30 layers, embedding 576/)
    assert.match(stdout, /tensor types +q4_1 \(210, /)
    assert.match(stdout, /chat template +yes/)
    assert.match(stdout, /cut +possible/)
    assert.match(stdout, /proposers +opening, skim, lookup, prediction; exit off/)
  })

  it('inspects a model without a chat template', { skip: missing(stories) }, async () => {
    const { stdout } = await incipit(['inspect', stories])
    assert.match(stdout, /llama, 5 layers/)
    assert.match(stdout, /chat template +no/)
  })
})
