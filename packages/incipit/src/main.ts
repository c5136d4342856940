#!/usr/bin/env node
import { exitCodeOf, reportFailure } from './failure.ts'
import { createProgram } from './program.ts'

try {
  await createProgram().parseAsync()
} catch (error) {
  reportFailure(error)
  process.exitCode = exitCodeOf(error)
}
