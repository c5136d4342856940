import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultPrompts } from './default-prompts.ts'

test('ids are unique, and the order does not depend on the run', async () => {
  const prompts = await defaultPrompts()
  assert.equal(new Set(prompts.map(({ id }) => id)).size, prompts.length)
  assert.deepEqual(await defaultPrompts(), prompts)
})

test('nothing that is fitted on is judged on: a passage is in one split only', async () => {
  const splits = new Map<string, Set<string>>()
  for (const { id, split } of await defaultPrompts()) {
    const passage = id!.split('/')[0]!
    splits.set(passage, (splits.get(passage) ?? new Set()).add(split!))
  }
  for (const [passage, seen] of splits) assert.equal(seen.size, 1, passage)
})

test('both splits are large enough to fit and to calibrate on', async () => {
  const prompts = await defaultPrompts()
  for (const split of ['fit', 'calibrate']) {
    assert.ok(prompts.filter((prompt) => prompt.split === split).length > 300, split)
  }
})
