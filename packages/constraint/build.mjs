// node packages/constraint/build.mjs: builds wasm/constraint.wasm from rust/, and writes its hash and the licences of what is in
// it. Needs cargo, and the target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`).
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
const target = 'wasm32-unknown-unknown'
const args = ['build', '--release', '--locked', '--target', target]
const cargo = (...args) => spawnSync('cargo', args, { cwd: at('rust'), encoding: 'utf8', maxBuffer: 2 ** 26 }).stdout
const { packages } = JSON.parse(cargo('metadata', '--locked', '--format-version', '1'))

// `env.now`, the clock, is imported. Where this machine keeps sources is nobody's business, and would change the hash.
const folders = new Set(
  packages.filter(({ source }) => source).map(({ manifest_path: path }) => dirname(dirname(path))),
)
const remapped = [...folders].map((folder) => `--remap-path-prefix=${folder}=crates`)
const env = { ...process.env, RUSTFLAGS: ['-C link-arg=--import-undefined', ...remapped].join(' ') }
const { status, error } = spawnSync('cargo', args, { cwd: at('rust'), env, stdio: 'inherit' })
if (error) throw error
if (status !== 0) process.exit(status ?? 1)
const wasm = at('wasm/constraint.wasm')
copyFileSync(at('rust/target/wasm32-unknown-unknown/release/incipit_constraint.wasm'), wasm)
writeFileSync(`${wasm}.sha256`, `${createHash('sha256').update(readFileSync(wasm)).digest('hex')}\n`)

// --edges normal: what is compiled into it, and not what compiles it.
const used = new Set(
  cargo('tree', '--locked', '--target', target, '--edges', 'normal', '--prefix', 'none', '--format', '{p}').match(
    /^\S+ v\S+/gm,
  ),
)
const texts = packages
  .filter(({ name, version, source }) => source !== null && used.has(`${name} v${version}`))
  .sort((a, b) => (a.name < b.name ? -1 : 1))
  .map(({ name, version, license, manifest_path: manifest }) => {
    const folder = dirname(manifest)
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    const all = files.map((file) => readFileSync(join(folder, file), 'utf8').trim())
    return [`==== ${name} ${version}: ${license}`, ...all].join('\n\n')
  })
writeFileSync(at('wasm/LICENSES.txt'), `${texts.join('\n\n')}\n`)
