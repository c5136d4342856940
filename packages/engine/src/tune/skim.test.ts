import assert from 'node:assert/strict'
import { test } from 'node:test'
import { model, temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { full } from '../../test/fixtures/test-size.ts'
import { modelHash } from '../gguf/index.ts'
import { LearnedOdds } from '../proposers/lookahead-odds.ts'
import { loadSkimCalibration } from '../runtime/load/skim-calibration.ts'
import { tuneSkim } from './skim.ts'

const stories = model('stories260K.gguf')

const names = ['Lily', 'Tom', 'Mia', 'Ben', 'Sue', 'Max', 'Ann', 'Tim']
const things = ['a red ball', 'a big dog', 'a small boat', 'an old hat', 'a blue bird']
/** 40 prompts of more than 200 tokens, no two alike. */
const prompts = names.flatMap((name) =>
  things.map((thing) => ({ prompt: `Once upon a time ${name} had ${thing}. ${name} was happy. `.repeat(14) })),
)

const skip = stories.skip || (full ? false : 'part of npm run test:full')

test('what lookaheads saw is what later starts begin with', { skip }, async (t) => {
  const cacheDir = await temporaryDirectory(t)
  const told = await tuneSkim({ model: stories.path, prompts, cacheDir, threads: 1 })
  assert.equal(told.prompts, prompts.length)
  assert.match(told.note, /calibrated on 40 prompts/)
  for (const share of Object.values(told.right)) assert.ok(share >= 0 && share <= 1)
  const lines: string[] = []
  const hash = await modelHash(stories.path, cacheDir)
  const loaded = await loadSkimCalibration(cacheDir, hash, (_, line) => lines.push(line))
  assert.deepEqual([loaded.note, lines], [told.note, []])
  const look = { before: undefined, token: 1, expected: undefined }
  const [far, near] = [0.001, 0.09].map((second) =>
    new LearnedOdds(loaded).first({ ...look, probability: 0.1, second }),
  )
  assert.ok(far! > near! && near! > 0 && far! < 1, `${near} ${far}`)
})

test('too few long prompts are refused by name', { skip: stories.skip }, async (t) => {
  const cacheDir = await temporaryDirectory(t)
  await assert.rejects(tuneSkim({ model: stories.path, prompts: prompts.slice(1), cacheDir }), { code: 'tune_failed' })
})
