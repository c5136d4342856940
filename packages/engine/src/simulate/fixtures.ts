import type { MachineProfile } from './profile.ts'

/** A machine with round numbers for tests: 10 ms a step and 1 ms a row, one stage, attention for nothing. */
export const plainMachine: MachineProfile = {
  name: 'plain',
  description: 'a machine of a test',
  dollarsPerHour: 3.6,
  cells: 20_000,
  context: 4000,
  slots: 20,
  parallel: 8,
  unified: true,
  cellBytes: 1,
  keptBytes: 100_000,
  batch: 512,
  tile: 1,
  devices: [0],
  costs: [
    [
      { rows: 1, ms: 11 },
      { rows: 512, ms: 522 },
    ],
  ],
  attention: [{ cellMs: 0, pairMs: 0, loosePairMs: 0 }],
  betweenStepsMs: 0,
  noise: 0,
  exit: false,
}
