import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectLibrary } from './inspect-library.ts'

test('the library says where it is, what it runs on, and which CPU variant it took', () => {
  const { release, from, variants, instructions, devices } = inspectLibrary()
  assert.match(release, /^v\d/)
  assert.match(from, /^@node-llama-cpp\/|^INCIPIT_LLAMA_LIB$/)
  const cpu = devices.filter(({ kind }) => kind === 'cpu')
  assert.equal(cpu.length, 1)
  assert.ok(cpu[0]!.memory.total > 2 ** 28)
  assert.match(instructions, /CPU :/)
  // What is in use can run here.
  if (variants.length > 0) assert.ok(variants.at(-1)!.score > 0)
})
