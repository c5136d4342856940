import { inspectLibrary } from '../../src/llama/inspect-library.ts'
import { say } from './results.ts'

// Which devices compute here, in a process that then lets them go.

for (const { name, description, memory } of inspectLibrary().devices) {
  const size = memory.total > 0 ? `, ${(memory.total / 2 ** 30).toFixed(0)} GiB` : ''
  say({ kind: 'note', text: `${name}: ${description}${size}` })
}
