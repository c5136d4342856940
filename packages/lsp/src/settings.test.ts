import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultSettings, settingsFrom } from './settings.ts'

test('what is missing keeps its default', () => {
  assert.deepEqual(settingsFrom(undefined), { settings: defaultSettings, problems: [] })
  assert.equal(settingsFrom({ minAcceptance: 0.5, model: null }).settings.minAcceptance, 0.5)
})

test('what makes no sense is said, and the default is used', () => {
  const { settings, problems } = settingsFrom({
    maxTokens: '5',
    minAcceptance: 7,
    serverType: 'telepathy',
    enabled: false,
  })
  assert.deepEqual(settings, { ...defaultSettings, enabled: false })
  assert.equal(problems.length, 3)
})
