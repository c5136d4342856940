import type { Round } from './drive.ts'
import { EngineProcess } from './engine-process.ts'
import { type Figure, mediansOf, ratiosOf } from './figures.ts'
import type { LoadRequest } from './load.ts'
import type { Settings } from './settings.ts'

/** An engine under test, as it is named in the table. */
export interface Contender {
  name: string
  settings: Settings
}

/**
 * Every engine serves the same loads in turns, one engine at a time, so that all see the same state of the machine; who
 * goes first changes from round to round. A first load, not counted, warms all of them up.
 * @returns per contender its rounds
 */
export async function inTurns(
  contenders: readonly Contender[],
  rounds: number,
  loadOf: (round: number) => readonly LoadRequest[],
): Promise<Round[][]> {
  await using stack = new AsyncDisposableStack()
  const engines: EngineProcess[] = []
  for (const { settings } of contenders) engines.push(stack.use(await EngineProcess.start(settings)))
  const results: Round[][] = contenders.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    const load = loadOf(round)
    for (let turn = 0; turn < engines.length; turn++) {
      const i = (round + turn) % engines.length
      const result = await engines[i]!.run(load)
      if (round > 0) results[i]!.push(result)
    }
    console.error(`round ${round} of ${rounds}: ${contenders.map(({ name }) => name).join(', ')}`)
  }
  return results
}

/** Table rows: each engine's figures, then the first one's over those of each other. */
export function comparison(
  label: string | number,
  names: readonly string[],
  results: readonly (readonly Round[])[],
  figures: readonly Figure[],
): (string | number)[][] {
  const own = results[0]!
  return [
    ...names.map((name, i) => [label, name, ...mediansOf(figures, results[i]!)]),
    ...names.slice(1).map((name, i) => [label, `ratio to ${name}`, ...ratiosOf(figures, own, results[i + 1]!)]),
  ]
}
