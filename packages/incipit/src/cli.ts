import { exitCodeOf, reportFailure } from './failure.ts'
import { createProgram } from './program.ts'

// A reader that leaves early (`| head`) is no failure; commands that would go on working end themselves.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

try {
  await createProgram().parseAsync()
} catch (error) {
  reportFailure(error)
  process.exitCode = exitCodeOf(error)
}
