// node scripts/run.mjs FILE ARGS...: runs FILE under the project's own Node 24, after installing what is missing.
// Dependency-free and runnable by Node 18.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { compileCache, nodeBinary, setup } from './setup.mjs'

const [file, ...args] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('usage: node scripts/run.mjs FILE [ARGS...]\n')
  process.exit(2)
}
if (!setup()) process.exit(1)

const env = { NODE_COMPILE_CACHE: compileCache(), ...process.env }
const child = spawn(nodeBinary(), [file, ...args], { stdio: 'inherit', env })

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  // Ctrl-C in a terminal reaches the whole process group, so the child has it already; a second one is harmless to it
  // only if we stay silent. A signal sent to this process alone (a service manager) has to be passed on.
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  })
}

child.on('error', (error) => {
  process.stderr.write(`incipit: ${nodeBinary()} could not be started: ${error.message}\n`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (constants.signals[signal ?? 'SIGTERM'] ?? 15))
})
