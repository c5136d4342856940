import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { errorCodes } from '@incipit/engine/api'
import { serverErrorCodes } from '../src/index.ts'

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')

/** The rows of the table under a heading: code and status, and that meaning and advice are not empty. */
function table(heading: string): Record<string, number> {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`))
  assert.ok(section, `docs/errors.md has a section "${heading}"`)
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  return Object.fromEntries(
    rows.map((row) => {
      const cells = /^\| `(\w+)` \| (\d+) \| (\S[^|]*) \| (\S[^|]*) \|$/.exec(row)
      assert.ok(cells, `a row of four cells: ${row}`)
      return [cells[1]!, Number(cells[2])]
    }),
  )
}

test('docs/errors.md lists the codes of the engine, in order, with their status', () => {
  assert.deepEqual(Object.entries(table('Codes of the engine')), Object.entries(errorCodes))
})

test('docs/errors.md lists the codes of the server, in order, with their status', () => {
  assert.deepEqual(Object.entries(table('Codes of the server')), Object.entries(serverErrorCodes))
})

test('no code belongs to both', () => {
  assert.deepEqual(
    Object.keys(serverErrorCodes).filter((code) => code in errorCodes),
    [],
  )
})
