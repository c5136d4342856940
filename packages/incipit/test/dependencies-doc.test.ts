import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../../..')

test('docs/dependencies.md names every dependency', () => {
  const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8')
  const packages = globSync('{package.json,packages/*/package.json}', { cwd: root }).map(
    (file): Record<string, object> => JSON.parse(readFileSync(join(root, file), 'utf8')),
  )
  assert.ok(packages.length > 1)
  const names = packages
    .flatMap((content) => [content.dependencies, content.devDependencies, content.optionalDependencies])
    .flatMap((dependencies) => Object.keys(dependencies ?? {}))
    .filter((name) => !name.startsWith('@incipit/'))
  // Packages of one family are listed by their last part.
  const isNamed = (name: string) => page.includes(`\`${name}\``) || page.includes(`\`${name.split('/').at(-1)}\``)
  assert.deepEqual(
    names.filter((name) => !isNamed(name)),
    [],
  )
})
