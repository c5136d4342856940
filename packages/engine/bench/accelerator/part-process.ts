import { batches } from './parts/batches.ts'
import { copies } from './parts/copies.ts'
import { costs } from './parts/costs.ts'
import { exit } from './parts/exit.ts'
import { expertDrafts } from './parts/experts.ts'
import { firstToken } from './parts/first-token.ts'
import type { Task } from './parts/part.ts'
import { poisson, streams, variants } from './parts/streams.ts'
import { typedMessages } from './parts/typed.ts'
import type { Part } from './plan.ts'

// The process of one part: `node part-process.ts TASK`, a task as JSON. Lines of results go to standard output.

const measures: Readonly<Record<Part['measures'], (task: Task) => Promise<void>>> = {
  batches,
  copies,
  costs,
  exit,
  experts: expertDrafts,
  'first-token': firstToken,
  poisson,
  streams,
  typed: typedMessages,
  variants,
}

const task = JSON.parse(process.argv[2]!) as Task
await measures[task.part.measures](task)
