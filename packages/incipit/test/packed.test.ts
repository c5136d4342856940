import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { bundle } from '../../client/test/bundle.ts'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { command, type Installation, installPacked, nodeFolder, root } from './helpers/packed.ts'

const skip = full ? false : 'npm run test:full has it'

// What a stranger has after `npm install`: no TypeScript, no repository, no model of their own.
describe('the published packages', { skip, timeout: 600_000 }, () => {
  let installation: Installation
  const settings = () => ({
    INCIPIT_CACHE: join(installation.folder, 'cache'),
    INCIPIT_MODELS: '',
    INCIPIT_MODEL: '',
    NODE_OPTIONS: '',
    // Output is read here, also where the tests themselves are printed in colour.
    FORCE_COLOR: undefined,
    NO_COLOR: '1',
    NODE_COMPILE_CACHE: join(installation.folder, 'compiled'),
  })
  before(async () => {
    installation = await installPacked()
  })
  after(() => installation && rm(dirname(installation.folder), { recursive: true }))

  for (const version of [22, 24, 26]) {
    it(`npx incipit run prints a reply under Node ${version}`, async () => {
      const { folder: cwd } = installation
      const path = await nodeFolder(version)
      const options = { cwd, path, env: settings() }
      assert.match((await command('node', ['--version'], options)).stdout, new RegExp(`^v${version}\\.`))
      const args = ['run', 'def fibonacci(n):', '-n', '16', '--threads', '1']
      const { stdout, stderr } = await command('npx', ['incipit', ...args], options)
      assert.ok(stdout.trim().length > 10, stdout)
      assert.match(stderr, /16 tokens at/)
      assert.doesNotMatch(stderr, /Warning/)
      const constrained = [...args, '--choice', ' red', '--choice', ' green']
      assert.match((await command('npx', ['incipit', ...constrained], options)).stdout, /^ (red|green)\s*$/)
    })
  }

  for (const version of [22, 26]) {
    it(`incipit serve shows its page and answers under Node ${version}`, async () => {
      const path = join(await nodeFolder(version), 'node')
      const { folder: cwd } = installation
      const main = join(cwd, 'node_modules/incipit/dist/main.js')
      const child = spawn(path, [main, 'serve', '--port', '0', '--threads', '1'], {
        cwd,
        env: { ...process.env, ...settings() },
      })
      try {
        let output = ''
        for await (const text of child.stdout.setEncoding('utf8')) {
          output += text
          if (output.includes('Try it')) break
        }
        const address = /serves on (\S+)/.exec(output)?.[1] ?? ''
        assert.match(await (await fetch(address)).text(), /<script/)
        const body = { prompt: 'def f', max_tokens: 4, response_format: { type: 'json_object' } }
        const headers = { 'content-type': 'application/json' }
        const init = { method: 'POST', headers, body: JSON.stringify(body) }
        const answer = await fetch(`${address}/v1/completions`, init)
        const { choices } = (await answer.json()) as { choices: { text: string }[] }
        assert.match(choices[0]!.text, /^\s*\{/)
      } finally {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
    })
  }

  it('publint finds nothing', async () => {
    for (const file of installation.tarballs) {
      const tarball = new Uint8Array(await readFile(file)).buffer
      const { messages, pkg } = await publint({ pack: { tarball }, strict: true })
      assert.deepEqual(
        messages.map((message) => formatMessage(message, pkg)),
        [],
        basename(file),
      )
    }
  })

  it('types resolve to what is imported', async () => {
    for (const file of installation.tarballs) {
      // The command line has no entry to import.
      if (/^incipit-\d/.test(basename(file))) continue
      const result = await checkPackage(createPackageFromTarballData(new Uint8Array(await readFile(file))))
      assert.ok(result.types, basename(file))
      // There is no CommonJS here: of it, and of resolution without `exports`, nothing is promised.
      const ours = result.problems.filter(
        (problem) =>
          !('resolutionKind' in problem) || ['node16-esm', 'bundler'].includes(String(problem.resolutionKind)),
      )
      assert.deepEqual(ours, [], basename(file))
    }
  })

  it('a program in TypeScript compiles against them', async () => {
    const { folder: cwd } = installation
    await writeFile(
      join(cwd, 'program.ts'),
      `import { Engine, type GenerateEvent } from '@incipit/engine'
       import { tiers } from '@incipit/engine/api'
       import { readGguf } from '@incipit/engine/gguf'
       import { simulate } from '@incipit/engine/simulate'
       import { SpawnedEngine } from '@incipit/engine/spawn'
       import { ConstraintChecks } from '@incipit/constraint'
       import { streamChat } from '@incipit/client'
       import { createServer } from '@incipit/server'
       import { serveLanguage } from '@incipit/lsp'
       import { page } from '@incipit/playground'
       const engine = await Engine.load('model.gguf')
       const events: AsyncIterable<GenerateEvent> = engine.generate({ prompt: 'x' })
       // @ts-expect-error the types are there
       engine.generate({ prompt: 1 })
       export const all = [events, tiers, readGguf, simulate, SpawnedEngine, ConstraintChecks, streamChat, createServer, serveLanguage, page]
      `,
    )
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')]
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'esnext', '--skipLibCheck', ...types]
    await command(process.execPath, [tsc, ...options, 'program.ts'], { cwd })
  })

  it('source maps carry the sources', async () => {
    const file = join(installation.folder, 'node_modules/@incipit/engine/dist/text/detokenize.js.map')
    const { sources, sourcesContent } = JSON.parse(await readFile(file, 'utf8'))
    assert.deepEqual(sources, ['../../src/text/detokenize.ts'])
    const source = await readFile(join(root, 'packages/engine/src/text/detokenize.ts'), 'utf8')
    assert.deepEqual(sourcesContent, [source])
  })

  it('the client is bundled for browsers, and runs without Node', async () => {
    const entry = createRequire(join(installation.folder, 'x.js')).resolve('@incipit/client')
    const source = `import { RevisableText } from ${JSON.stringify(entry)}
      const text = new RevisableText()
      text.revise({ rev: 1, base: 0, text: 'grey' })
      globalThis.shown = text.value`
    const code = await bundle('packed.ts', source)
    assert.doesNotMatch(code, /node:|require\(/)
    const context = createContext({})
    runInContext(code, context)
    assert.deepEqual({ ...context.shown }, { committed: '', provisional: 'grey' })
  })
})
