// node packages/constraint/build.mjs: builds wasm/constraint.wasm from rust/, and writes its hash. Needs cargo, and the target
// wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`).
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
// `env.now`, the clock, is imported.
const env = { ...process.env, RUSTFLAGS: '-C link-arg=--import-undefined' }
const args = ['build', '--release', '--locked', '--target', 'wasm32-unknown-unknown']
const { status, error } = spawnSync('cargo', args, { cwd: at('rust'), env, stdio: 'inherit' })
if (error) throw error
if (status !== 0) process.exit(status ?? 1)
const wasm = at('wasm/constraint.wasm')
copyFileSync(at('rust/target/wasm32-unknown-unknown/release/incipit_constraint.wasm'), wasm)
writeFileSync(`${wasm}.sha256`, `${createHash('sha256').update(readFileSync(wasm)).digest('hex')}\n`)
