// A stand-in for the serving process in the tests of the supervisor: does what its argument says.
import { setTimeout as wait } from 'node:timers/promises'

const [, , role, port] = process.argv
process.on('disconnect', () => process.exit(9))
const say = (message: object) => process.send?.(message)

switch (role) {
  case 'crash':
    process.kill(process.pid, 'SIGKILL')
    break
  case 'fail':
    process.exit(3)
    break
  case 'fatal':
    say({ type: 'fatal' })
    await wait(20)
    process.exit(1)
    break
  case 'end':
    process.exit(0)
    break
  case 'serve':
  case 'serve-then-crash':
    say({ type: 'listening', port: Number(port) || 4321 })
    if (role === 'serve-then-crash') setTimeout(() => process.kill(process.pid, 'SIGKILL'), 30)
    process.on('message', () => process.exit(0))
    break
  case 'deaf':
    say({ type: 'listening', port: 4321 })
    process.on('message', () => {})
    break
}
