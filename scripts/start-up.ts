import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// `npm run start-up [-- RUNS]`: milliseconds from the start of the process to its first line, of the packages as they are
// published, with the embedded model and a warm disk. `run` and `chat` print the first word of a reply,
// `serve` its address; `serves`: until its model is there.

const root = join(import.meta.dirname, '..')
const runs = Number(process.argv[2] ?? 10)
const folder = mkdtempSync(join(tmpdir(), 'incipit-start-up-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

const npm = (...args: string[]) => {
  const shell = process.platform === 'win32'
  const { status } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], shell })
  if (status !== 0) throw new Error(`npm ${args[0]} ended with ${status}`)
}
writeFileSync(join(folder, 'package.json'), '{ "private": true }')
spawnSync(process.execPath, [join(root, 'scripts/pack.ts'), join(folder, 'packed')], { stdio: 'ignore' })
npm('install', '--no-audit', '--no-fund', ...readdirSync(join(folder, 'packed')).map((name) => `./packed/${name}`))

const main = join(folder, 'node_modules/incipit/dist/main.js')
const commands: Record<string, { args: string[]; input?: string; until?: string }> = {
  version: { args: ['--version'] },
  run: { args: ['run', 'def', '-n', '2'] },
  chat: { args: ['chat', '-n', '2'], input: 'def\n' },
  serve: { args: ['serve', '--port', '0'] },
  serves: { args: ['serve', '--port', '0'], until: 'serves on' },
}
const env = {
  ...process.env,
  INCIPIT_CACHE: join(folder, 'cache'),
  INCIPIT_MODELS: join(folder, 'models'),
  NODE_COMPILE_CACHE: join(folder, 'compiled'),
}

console.log(`${process.version}, ${runs} runs each; milliseconds to the first line`)
for (const [name, { args, input, until = '' }] of Object.entries(commands)) {
  const times: number[] = []
  // Twice first: files derived from the model, and what Node makes of ours, are there from then on.
  for (let i = -2; i < runs; i++) {
    const time = await output(args, input, until)
    if (i >= 0) times.push(time)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))]!.toFixed(0)
  console.log(`${name.padEnd(8)} p50 ${at(0.5)}  p95 ${at(0.95)}`)
}

/** Until it has printed this text, or anything. */
async function output(args: readonly string[], input: string | undefined, until: string): Promise<number> {
  const start = performance.now()
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'close')
  child.stdin.end(input)
  let said = ''
  do said += (await once(child.stdout, 'data'))[0]
  while (!said.includes(until))
  const time = performance.now() - start
  child.stdout.resume()
  child.kill()
  await ended
  return time
}
