import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { SimulationReport, Sweep } from '@incipit/engine/simulate'
import { incipit } from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'

const small = ['simulate', '--profile', 'h200-8b', '--mix', 'translation', '-n', '50', '--rate', '40']

describe('incipit simulate', () => {
  it('prints waiting times, goodput and rent as tables', async () => {
    const { code, stdout, stderr } = await incipit(small)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^h200-8b: Llama 3\.1 8B, BF16, on one H200/)
    assert.match(stdout, /^\| replies \| 50 in /m)
    assert.match(stdout, /^\| TTFT stable, ms \| \d/m)
    assert.match(stdout, /^\| rent per 1,000 replies \| \$0\.0/m)
    assert.match(stdout, /^\| translation \| translation \| 50 \| /m)
  })

  it('prints the same JSON for the same seed, and another one for another seed', async () => {
    const [one, two, other] = await Promise.all([
      incipit([...small, '--json']),
      incipit([...small, '--json']),
      incipit([...small, '--json', '--seed', '2']),
    ])
    assert.equal(one.stdout, two.stdout)
    assert.notEqual(one.stdout, other.stdout)
    const report = JSON.parse(one.stdout) as SimulationReport
    assert.equal(report.replies, 50)
    assert.ok(report.drafts.offered > 0)
  })

  it('lets nobody guess with --no-speculation, and takes the tier and the price from the flags', async () => {
    const flags = ['--no-speculation', '--tier', 'npc', '--price', '7', '--json']
    const { stdout } = await incipit([...small, ...flags])
    const report = JSON.parse(stdout) as SimulationReport
    assert.deepEqual(report.drafts, { offered: 0, accepted: 0 })
    assert.equal(report.kinds[0]!.tier, 'npc')
    const rent = (7000 * report.seconds) / 3600 / 50
    assert.ok(Math.abs(report.dollarsPer1000.replies - rent) < 1e-9)
  })

  it('takes clients that wait for their replies, and a load by itself, on the default profile', async () => {
    const streams = await incipit(['simulate', '--mix', 'npc', '--streams', '3', '-n', '40', '--json'])
    const busy = await incipit(['simulate', '--mix', 'npc', '-n', '40', '--json'])
    for (const { stdout } of [streams, busy]) {
      assert.equal((JSON.parse(stdout) as SimulationReport).profile, 'cpu-smollm2-135m')
    }
    assert.notEqual(streams.stdout, busy.stdout)
  })

  it('reads a profile from a file', async (t) => {
    const path = join(await temporary(t), 'profile.json')
    const machine = { name: 'mine', description: 'of a test', dollarsPerHour: 1, cells: 9000, context: 2000 }
    const limits = { slots: 6, parallel: 4, batch: 256, tile: 1, cellBytes: 1, keptBytes: 0, devices: [0] }
    const costs = { costs: [[{ rows: 1, ms: 5 }]], attention: [{ cellMs: 0, pairMs: 0, loosePairMs: 0 }] }
    const profile = { ...machine, ...limits, ...costs, betweenStepsMs: 0, noise: 0 }
    writeFileSync(path, JSON.stringify(profile))
    const good = await incipit(['simulate', '--profile', path, '--mix', 'npc', '-n', '20'])
    assert.match(good.stdout, /^mine: of a test; \$1 an hour/)
    writeFileSync(path, JSON.stringify({ ...profile, batch: 0 }))
    const bad = await incipit(['simulate', '--profile', path])
    assert.equal(bad.code, 1)
    assert.match(bad.stderr, /^incipit: the profile's batch must be .*\(invalid_request\)\n$/)
  })

  it('answers by load and acceptance with --sweep', async () => {
    const { stdout, stderr } = await incipit(['simulate', '--mix', 'npc', '-n', '20', '--sweep', '--json'])
    const { rows, capacities } = JSON.parse(stdout) as Sweep
    assert.deepEqual(
      rows.map(({ load }) => load),
      [0.2, 0.4, 0.6, 0.8, 0.95],
    )
    assert.equal(capacities.length, 1 + rows[0]!.cells.length)
    assert.match(stderr, /^capacity\nload 0\.2\n/)
  })

  const wrong: [string, string[], number, RegExp][] = [
    ['an unknown kind', ['--mix', 'poems=1'], 2, /'poems' is not one of chat, rag/],
    [
      'an unknown profile',
      ['--profile', 'abacus'],
      2,
      /abacus is no profile \(cpu-smollm2-135m, h200-8b, 8xh200-70b\)/,
    ],
    ['a rate of nothing', ['--rate', '0'], 2, /number of at least/],
    ['an acceptance above one', ['--acceptance', '1.2'], 2, /from 0 to 1/],
    ['an unknown tier', ['--tier', 'slow'], 2, /npc, translation/],
    ['both a rate and streams', ['--rate', '1', '--streams', '2'], 2, /cannot be used with/],
  ]
  for (const [name, args, code, message] of wrong) {
    it(`ends with ${code} for ${name}`, async () => {
      const result = await incipit(['simulate', ...args])
      assert.equal(result.code, code)
      assert.match(result.stderr, message)
      assert.equal(result.stdout, '')
    })
  }
})
