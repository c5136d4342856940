import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { forCapability } from '../bench/accelerator/fat-binaries.ts'
import { plans } from '../bench/accelerator/plan.ts'
import { report } from '../bench/accelerator/report.ts'
import { readLines } from '../bench/accelerator/results.ts'
import { bytesOf, writeShape } from '../bench/shapes/write.ts'
import { readGguf } from '../src/gguf/index.ts'
import { Engine } from '../src/index.ts'
import { parseProfile } from '../src/simulate/profile.ts'
import { temporaryDirectory } from './fixtures/gguf.ts'
import { prelude } from './fixtures/prelude.ts'
import { full } from './fixtures/test-size.ts'

const root = join(import.meta.dirname, '../../..')

test('shapes have the sizes of the files that they stand for', () => {
  // Files of the hub, of the smallest one without its metadata, which is some megabytes.
  const real = {
    'llama-3.1-8b-q8_0': 8.541e9,
    'llama-3.1-8b-q4_k_m': 4.921e9,
    'qwen3-30b-a3b-q4_k_m': 18.557e9,
    'smollm2-135m-q8_0': 0.143e9,
  } as const
  for (const [name, bytes] of Object.entries(real)) {
    const ratio = bytesOf(name as keyof typeof real) / bytes
    assert(Math.abs(ratio - 1) < 0.01, `${name}: ${ratio}`)
  }
})

test('small shapes run, and say words', async (t) => {
  const folder = await temporaryDirectory(t)
  for (const name of ['small-llama-q4_k_m', 'small-mixture-q4_k_m'] as const) {
    const path = await writeShape(name, folder, prelude)
    const { tensors } = await readGguf(path)
    assert.equal(
      tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      bytesOf(name),
    )
    await using engine = await Engine.load(path, { cacheDir: folder, cut: 'none', threads: 1, contextLength: 256 })
    let text = ''
    for await (const event of engine.generate({ prompt: 'one two three', maxTokens: 8, temperature: 0 })) {
      if (event.type === 'delta') text += event.text
    }
    assert.match(text, /^( [a-z]+){8}$/, name)
  }
})

test('every model of a plan has its profile measured', () => {
  for (const { parts } of Object.values(plans)) {
    const names = parts.map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
    assert.equal(parts[0]!.measures, 'costs')
  }
})

/** A container as nvcc writes it; each entry's data are copies of its capability. */
function container(entries: readonly [kind: number, capability: number, bytes: number][]): Buffer {
  const all = entries.map(([kind, capability, bytes]) => {
    const entry = Buffer.alloc(64 + bytes, capability)
    entry.fill(0, 0, 64)
    entry.writeUInt16LE(kind, 0)
    entry.writeUInt32LE(64, 4)
    entry.writeBigUInt64LE(BigInt(bytes), 8)
    entry.writeUInt32LE(capability, 28)
    return entry
  })
  const header = Buffer.alloc(16)
  header.writeUInt32LE(0xba55ed50)
  header.writeUInt16LE(16, 6)
  header.writeBigUInt64LE(BigInt(all.reduce((sum, { length }) => sum + length, 0)), 8)
  return Buffer.concat([header, ...all])
}

test('of a library for CUDA one card’s kernels stay, and nothing moves', () => {
  const [ptx, code] = [1, 2]
  const entries = [75, 80, 90].map((capability) => [ptx, capability, 80] as [number, number, number])
  const both = container([...entries, [code, 86, 48], [code, 120, 48]])
  const library = Buffer.concat([Buffer.from('before'), both, Buffer.from('between'), both, Buffer.from('behind')])
  for (const [capability, kind, chosen, bytes] of [
    [90, ptx, 90, 80],
    [89, code, 86, 48],
    [100, ptx, 90, 80],
  ] as const) {
    const slim = forCapability(library, capability)
    const one = Buffer.alloc(both.length)
    container([[kind, chosen, bytes]]).copy(one)
    const wanted = Buffer.concat([Buffer.from('before'), one, Buffer.from('between'), one, Buffer.from('behind')])
    assert.deepEqual(slim, wanted, `${capability}`)
  }
  assert.throws(() => forCapability(library, 70), /capability 70 cannot run/)
  assert.throws(() => forCapability(Buffer.from('no kernels'), 90), /without kernels/)
})

test('a report has a table for each kind of row, with all columns that any of them has', () => {
  const text = report([
    { kind: 'row', table: 'A', row: { shape: 'x', one: 1 } },
    { kind: 'row', table: 'A', row: { shape: 'y', two: 2 } },
    { kind: 'note', text: 'a note' },
    { kind: 'end', part: 'costs', seconds: 1, failure: 'it broke' },
  ])
  assert.match(text, /- a note/)
  assert.match(text, /## A\n\n\| shape \| one \| two \|\n\|---\|--:\|--:\|\n\| x \| 1 \| {2}\|\n\| y \| {2}\| 2 \|/)
  assert.match(text, /costs \| 1 \| it broke/)
})

const skip = full && process.platform === 'linux' && process.arch === 'x64' ? false : 'a full run on Linux x64 only'

test('from an empty folder with what is carried alone: the commands of an accelerator session', { skip }, async (t) => {
  const folder = await temporaryDirectory(t)
  const [packed, tree, work] = ['packed', 'tree', 'work'].map((name) => join(folder, name)) as [string, string, string]
  const run = (command: string, args: readonly string[], options: Parameters<typeof spawnSync>[2] = {}) => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options })
    assert.equal(status, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}`)
    return String(stdout)
  }
  for (const file of run('git', ['ls-files', '-co', '--exclude-standard']).trim().split('\n')) {
    mkdirSync(dirname(join(tree, file)), { recursive: true })
    cpSync(join(root, file), join(tree, file))
  }
  const bench = 'packages/engine/bench/accelerator'
  const cache = { ...process.env, INCIPIT_CACHE: join(folder, 'cache') }
  run(process.execPath, [join(bench, 'pack.ts'), '--out', packed, '--part-mib', '16', '--without-gpu'], { env: cache })
  const parts = readdirSync(packed).sort((a, b) => Number(a) - Number(b))
  assert(parts.length > 1)
  // Neither Node nor anything of this user is found there.
  const env = { PATH: '/usr/bin:/bin', HOME: folder, TMPDIR: folder, INCIPIT_ACCELERATOR: work }
  const there = { cwd: tree, env }
  for (const part of parts) {
    const carried = join(tree, 'packed/accelerator', part)
    cpSync(join(packed, part), carried, { recursive: true })
    const said = run('sh', [join(bench, 'set-up.sh'), `packed/accelerator/${part}`, '20', 'small'], there)
    assert.match(said, new RegExp(`part ${part} of ${parts.length} is kept`))
    if (part === parts.at(-1)) assert.match(said, /llama\.cpp +v0\.5\.0/)
    rmSync(carried, { recursive: true })
  }
  const out = join(folder, 'results')
  const measure = (budget: string, ...options: string[]) =>
    run('sh', [join(bench, 'measure.sh'), '--plan', 'small', '--budget', budget, '--out', out, ...options], there)
  const done = () =>
    readLines(join(out, 'results.jsonl')).flatMap((line) =>
      line.kind === 'end' && line.failure === undefined ? [line.part] : [],
    )
  assert.match(measure('1'), /no time was left for: costs small-llama-q8_0, first-token/)
  assert.deepEqual(done(), [])
  // Two more runs: the second one goes on where the first one was.
  measure('200', '--only', 'costs')
  const all = plans.small.parts.map(({ name }) => name)
  assert.deepEqual(
    done(),
    all.filter((name) => name.startsWith('costs')),
  )
  const text = measure('400')
  assert.deepEqual(done().toSorted(), all.toSorted())
  for (const title of ['First words', 'Closed loop', 'Outside of llama_decode', 'Copies of rows', 'Stages']) {
    assert.match(text, new RegExp(`^## ${title}$`, 'm'))
  }
  const profile = parseProfile(readFileSync(join(out, 'profile-small-llama-q8_0.json'), 'utf8'))
  assert.equal(profile.name, 'measured-small-llama-q8_0')
})
