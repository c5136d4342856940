import { Engine } from '../../../src/index.ts'
import { acceleratorShapes } from '../../shapes/accelerator.ts'
import { row, say } from '../results.ts'
import { firstTokens } from './first-token.ts'
import { cacheDirOf, type Task } from './part.ts'

/** First words of an exit, and whether a model in two stages computes what the uncut one does. */
export async function exit(task: Task): Promise<void> {
  const shape: { readonly exit?: number } = acceleratorShapes[task.part.shape]
  await using engine = await Engine.load(task.model, {
    cacheDir: cacheDirOf(task),
    cut: [shape.exit ?? 1],
    contextLength: Math.max(...task.scale.lengths) + 512,
    parallel: 1,
    threads: task.threads,
  })
  const { cutRefused, proposers, stages } = engine.info
  row('Stages', {
    shape: task.part.shape,
    stages: stages.map((range) => range.join('-')).join(', '),
    'bit-equal to uncut': cutRefused ?? 'yes',
  })
  if (!proposers.exit.available) {
    say({ kind: 'note', text: `${task.part.shape}: no exit: ${proposers.exit.note}` })
    return
  }
  await firstTokens(task, [{ name: 'exit', engine, proposers: ['exit'] }])
}
