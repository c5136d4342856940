import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { defaultCacheDir } from '../../src/gguf/index.ts'
import { packageVersion } from '../../src/llama/layouts.ts'
import { forCapability } from './fat-binaries.ts'

// Packs what a checkout needs to run on another machine that has neither Node nor a network: Node, the packages it needs at
// run time, and llama.cpp for CUDA. In parts of a size, since what is carried there may be bounded.
//
//   node packages/engine/bench/accelerator/pack.ts [--out packed/accelerator] [--part-mib 44] [--capability 90] [--without-gpu]
//
// Each part is alone in a folder, `1`, `2`, ..., under a name that says its number, how many there are, and its SHA-256.

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'packed/accelerator' },
    'part-mib': { type: 'string', default: '44' },
    // Of the card, without the point: kernels for others are left out, five sixths of the library.
    capability: { type: 'string' },
    // For a rehearsal on a CPU.
    'without-gpu': { type: 'boolean', default: false },
  },
})
const root = join(import.meta.dirname, '../../../..')
const staged = join(defaultCacheDir(), 'bench', 'accelerator')
rmSync(staged, { recursive: true, force: true })
mkdirSync(join(staged, 'bin'), { recursive: true })
cpSync(process.execPath, join(staged, 'bin', 'node'))

interface Locked {
  readonly packages: Readonly<
    Record<string, { dev?: boolean; devOptional?: boolean; link?: boolean; resolved?: string }>
  >
}
const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Locked
// Of them only what is read at run time; and llama.cpp for this platform.
const unread = /koffi\/(vendor|doc)(\/|$)|\.(md|map|d\.ts|d\.mts|d\.cts)$/
const otherPlatform = /@node-llama-cpp\/(?!linux-x64$)/
for (const [path, { dev, devOptional, link, resolved }] of Object.entries(packages)) {
  if (!path.startsWith('node_modules/') || dev || devOptional || otherPlatform.test(path)) continue
  const from = join(root, path)
  if (!existsSync(from)) continue
  mkdirSync(join(staged, dirname(path)), { recursive: true })
  // Packages of the checkout: its folder is beside the link once that is where it belongs.
  if (link)
    symlinkSync(
      join(
        path
          .split('/')
          .map(() => '..')
          .slice(1)
          .join('/'),
        resolved ?? '',
      ),
      join(staged, path),
    )
  else cpSync(from, join(staged, path), { recursive: true, filter: (file) => !unread.test(file) })
}
if (!values['without-gpu']) addCuda()

const archive = join(staged, 'archive.tar.xz')
run('tar', ['-C', staged, '-cJf', archive, 'bin', 'node_modules'], { XZ_OPT: '-T0 -4' })
writeParts(archive)

/** The back end alone: the rest of llama.cpp is that of the package for CPUs. */
function addCuda(): void {
  const name = '@node-llama-cpp/linux-x64-cuda'
  const cache = join(defaultCacheDir(), 'bench')
  const tarball = join(cache, `node-llama-cpp-linux-x64-cuda-${packageVersion}.tgz`)
  if (!existsSync(tarball)) run('npm', ['pack', `${name}@${packageVersion}`, '--pack-destination', cache])
  const target = join(staged, 'node_modules', name)
  mkdirSync(target, { recursive: true })
  const back = 'bins/linux-x64-cuda/libggml-cuda.so'
  const files = ['package.json', 'dist', back].map((file) => `package/${file}`)
  run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1', ...files])
  if (values.capability === undefined) return
  const library = join(target, back)
  writeFileSync(library, forCapability(readFileSync(library), Number(values.capability)))
}

function writeParts(archive: string): void {
  const data = readFileSync(archive)
  const bytes = Number(values['part-mib']) * 2 ** 20
  const count = Math.ceil(data.length / bytes)
  rmSync(values.out, { recursive: true, force: true })
  for (let i = 0; i < count; i++) {
    const part = data.subarray(i * bytes, (i + 1) * bytes)
    const folder = join(values.out, String(i + 1))
    const hash = createHash('sha256').update(part).digest('hex')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `part-${i + 1}-of-${count}-${hash}`), part)
    console.log(`${join(folder, readdirSync(folder)[0]!)}: ${(part.length / 2 ** 20).toFixed(1)} MiB`)
  }
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ended with ${status}`)
}
