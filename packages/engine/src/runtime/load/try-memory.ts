import type { Log } from '../../api/engine-options.ts'
import { recurrentState, type SequenceMemory } from '../../core/kv/sequence-memory.ts'
import { Batch } from '../../llama/batch.ts'
import type { Context } from '../../llama/context.ts'

const rows = 4

/**
 * What a memory does where it is tried, in two empty slots, which are empty again afterwards: its kind is told by the library,
 * and not every architecture keeps what its kind promises.
 * @param expected by kind
 */
export async function tryMemory(context: Context, expected: SequenceMemory, log: Log): Promise<SequenceMemory> {
  if (context.sequences < 2) return { ...expected, copies: false }
  using batch = new Batch(rows)
  for (let row = 0; row < rows; row++) batch.add(row, row, [0], row === rows - 1)
  await context.decode(batch)
  const lastOf = (slot: number) => (context.positions(slot)?.last ?? -1) + 1
  const copies = expected.copies && succeeds(() => copied(context, lastOf))
  const drops = context.sequenceRemove(0, 2) && lastOf(0) === 2
  for (const slot of [0, 1]) context.sequenceRemove(slot, 0)
  const { window, sharesCells } = expected
  const refuses = expected.dropsRows && !drops
  if (refuses) log('warn', 'this memory refuses to give up single rows: it is used like a recurrent one')
  const states = refuses || expected.recurrent
  const memory = states ? recurrentState(window, sharesCells, drops ? context.snapshots : 0) : expected
  if (copies || !expected.copies) return memory
  log('warn', 'the memory of this model cannot be copied: what is computed of a text is lost with its reply')
  return { ...memory, copies: false }
}

/** A copy goes into another slot, and that one back to a checkpoint at its end. */
function copied(context: Context, lastOf: (slot: number) => number): boolean {
  context.setSequenceState(1, context.sequenceState(0))
  if (lastOf(1) !== rows) return false
  context.restoreCheckpoint(1, context.checkpoint(1), rows)
  return lastOf(1) === rows
}

function succeeds(act: () => boolean): boolean {
  try {
    return act()
  } catch {
    return false
  }
}
