import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { supervise } from './supervise.ts'

const worker = fileURLToPath(new URL('../../test/helpers/worker.ts', import.meta.url))

/** Runs workers with these roles one after the other; the last role repeats. SIGHUP stops, so that tests can raise it. */
function prepare(...roles: string[]) {
  const children: ChildProcess[] = []
  const ports: (number | undefined)[] = []
  const said: string[] = []
  const code = supervise({
    start(port) {
      const role = roles[Math.min(children.length, roles.length - 1)] ?? ''
      const child = fork(worker, [role, String(port ?? '')])
      children.push(child)
      ports.push(port)
      return child
    },
    say: (line) => said.push(line),
    signals: ['SIGHUP'],
    firstDelayMs: 1,
    closeMs: 300,
  })
  const listening = async (count: number) => {
    while (children.length < count) await wait(5)
    await once(children[count - 1]!, 'message')
  }
  return { code, children, ports, said, listening, stop: () => process.kill(process.pid, 'SIGHUP') }
}

describe('supervise', () => {
  it('starts a crashed worker again on the same port, and says so in a line', async () => {
    const { code, children, ports, said, listening, stop } = prepare('serve-then-crash', 'serve')
    await listening(2)
    assert.deepEqual(ports, [undefined, 4321])
    assert.deepEqual(said, ['the server was ended by SIGKILL; starting it again in 0.001 s'])
    stop()
    assert.equal(await code, 0)
    assert.equal(children.length, 2)
  })

  it('takes an exit code that is not 0 for a crash', async () => {
    const { code, said, listening, stop } = prepare('fail', 'serve')
    await listening(2)
    assert.match(said[0] ?? '', /ended with exit code 3/)
    stop()
    await code
  })

  it('gives up after five restarts within a minute, with growing pauses', async () => {
    const { code, children, said } = prepare('crash')
    assert.equal(await code, 1)
    assert.equal(children.length, 6)
    assert.deepEqual(
      said.map((line) => /again in ([\d.]+) s/.exec(line)?.[1] ?? line),
      [
        '0.001',
        '0.002',
        '0.004',
        '0.008',
        '0.016',
        'the server was ended by SIGKILL, 6 times within a minute; giving up',
      ],
    )
  })

  it('does not try again when the worker says it is fatal', async () => {
    const { code, children, said } = prepare('fatal')
    assert.equal(await code, 1)
    assert.equal(children.length, 1)
    assert.deepEqual(said, [])
  })

  it('ends with a worker that ended by itself', async () => {
    const { code, children } = prepare('end')
    assert.equal(await code, 0)
    assert.equal(children.length, 1)
  })

  it('kills a worker that does not close in time', async () => {
    const { code, children, listening, stop } = prepare('deaf')
    await listening(1)
    const started = performance.now()
    stop()
    assert.equal(await code, 0)
    assert(performance.now() - started >= 290)
    assert.equal(children[0]?.signalCode, 'SIGKILL')
  })
})
