import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FormatReport } from '@incipit/engine'
import { formatTable } from './format-table.ts'

const report = (format: FormatReport['format'], promptPerSecond: number, divergence: number): FormatReport => ({
  format,
  description: 'llama, Q4_1',
  bytes: 2 ** 20,
  promptPerSecond,
  replyPerSecond: 100,
  eightRowsMs: 30,
  divergence,
  agreement: 1 - divergence,
})
const own = report(undefined, 300, 0)

test('a format that says nearly the same comes first, a faster one with what it loses', () => {
  const text = formatTable([own, report('Q8_0', 600, 0.006), report('Q4_0', 700, 0.3)], 'a.gguf')
  const [first, second, third] = text.trimEnd().split('\n').slice(-3)
  assert.equal(first, 'Q8_0 reads prompts 2.00 times as fast: incipit serve --model a.gguf --format Q8_0')
  assert.match(second!, /^Q4_0 reads prompts 2.33 times/)
  assert.match(third!, /another best token in 30% of places/)
})

test('one that loses is named with its loss, and where none is faster that is said', () => {
  const lossy = formatTable([own, report('Q8_0', 200, 0), report('Q4_0', 700, 0.3)], 'a.gguf')
  assert.ok(lossy.includes('--format Q4_0') && lossy.includes('another best token') && !lossy.includes('--format Q8_0'))
  assert.match(formatTable([own, report('Q8_0', 200, 0)], 'a.gguf'), /No format reads prompts faster/)
})
