import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { compile } from 'svelte/compiler'
import type { Plugin } from 'vite'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { browser, noBrowser } from '../../playground/test/helpers/browser.ts'
import { createServer } from '../../server/src/index.ts'
import { loaded, missing, smol } from '../../server/test/models.ts'
import { bundle } from './bundle.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const engine = loaded(smol, { contextLength: 128 })
const open = browser()

/** The example of the README for one framework, but greedy: a sampled reply may be a word that is too short to wait for. */
function example(name: string): string {
  const [, source] = new RegExp(`\`\`\`\\w+ ${name}\n([\\s\\S]*?)\`\`\``).exec(readme)!
  const greedy = source!.replace("speculate: 'reply'", '$&, temperature: 0')
  assert.notEqual(greedy, source)
  return greedy
}

const svelte: Plugin = {
  name: 'svelte',
  transform: (code, id) =>
    id.endsWith('.svelte') ? { code: compile(code, { generate: 'client', filename: 'App.svelte' }).js.code } : null,
}

const pages: Record<string, () => Promise<string>> = {
  dom: () => bundle('dom.js', example('dom')),
  react: () => bundle('react.jsx', example('react')),
  preact: () => bundle('preact.jsx', `/** @jsxImportSource preact */\n${example('preact')}`),
  svelte: () => {
    const app: Plugin = {
      name: 'app',
      resolveId: (id) => (id === './App.svelte' ? `${import.meta.dirname}/App.svelte` : null),
      load: (id) => (id.endsWith('/App.svelte') ? example('svelte') : null),
    }
    const main = "import { mount } from 'svelte'; import App from './App.svelte'; mount(App, { target: document.body })"
    return bundle('svelte.js', main, [app, svelte])
  },
  vue: () => bundle('vue.js', example('vue')),
}

const skip = missing(smol) || noBrowser || (full ? false : 'runs with npm run test:full')

for (const [name, script] of Object.entries(pages)) {
  test(`the ${name} example shows the reply while the question is typed, then for good`, { skip }, async (t) => {
    const code = await script()
    const server = createServer(engine())
    server.get('/', (_, reply) =>
      reply.type('text/html').send('<!doctype html><body><script src="/x.js" type="module"></script>'),
    )
    server.get('/x.js', (_, reply) => reply.type('text/javascript').send(code))
    t.after(() => server.close())
    const page = await open(t)
    await page.goto(await server.listen({ host: '127.0.0.1', port: 0 }))
    await page.locator('textarea').pressSequentially('Write a long story about the sea.')
    await page.waitForFunction(`document.querySelector('i').textContent.length > 3`)
    const guess = await page.locator('i').textContent()
    assert.equal(await page.locator('span').textContent(), '')
    await page.locator('textarea').press('Enter')
    await page.waitForFunction(`document.querySelector('span').textContent.length > 3`)
    assert.ok((await page.locator('p').textContent())!.startsWith(guess!))
    await page.waitForFunction(`document.querySelector('textarea').value === ''`)
  })
}
