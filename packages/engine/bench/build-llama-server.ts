import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { installPeer, peerDirectory } from './peer-node-llama-cpp.ts'

// Builds llama-server of the llama.cpp that incipit runs, from the sources inside node-llama-cpp, and prints its path:
// the peer that people would use instead. Needs git, cmake and a C++ compiler.
//
//   node packages/engine/bench/build-llama-server.ts

const source = join(peerDirectory(), 'llama.cpp')
const program = join(source, 'build', 'bin', 'llama-server')

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] })
  if (error) throw new Error(`${command} cannot be started: ${error.message}`)
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with code ${status}`)
}

if (!existsSync(program)) {
  installPeer()
  console.error(`building llama-server into ${source}: about ten minutes on two cores`)
  const bundle = join(peerDirectory(), 'node_modules', 'node-llama-cpp', 'llama', 'gitRelease.bundle')
  if (!existsSync(source)) {
    const part = `${source}.part`
    await rm(part, { recursive: true, force: true })
    run('git', ['clone', '--quiet', bundle, part])
    await rename(part, source)
  }
  const build = join(source, 'build')
  const off = ['LLAMA_BUILD_UI', 'LLAMA_BUILD_TESTS', 'LLAMA_BUILD_EXAMPLES', 'LLAMA_OPENSSL', 'LLAMA_CURL']
  run('cmake', ['-S', source, '-B', build, '-DCMAKE_BUILD_TYPE=Release', ...off.map((name) => `-D${name}=OFF`)])
  run('cmake', ['--build', build, '--target', 'llama-server', '--parallel', String(availableParallelism())])
}
console.log(program)
