export { capacityOf, type Demand, measureCapacity } from './capacity.ts'
export type { GuessQuality } from './guess-sampler.ts'
export type { Outcome, ReplyRecord, Waste } from './outcome.ts'
export { type AttentionCost, type MachineProfile, parseProfile } from './profile.ts'
export { machineProfiles } from './profiles.ts'
export { type KindReport, type Percentiles, report, type SimulationReport } from './report.ts'
export { type SimulationOptions, simulate } from './simulate.ts'
export { type Sweep, type SweepCapacity, type SweepCell, type SweepOptions, type SweepRow, sweep } from './sweep.ts'
export { reportTable, sweepTable } from './table.ts'
export {
  type Arrivals,
  type KindName,
  type Mix,
  parseMix,
  type RequestSource,
  type SimulatedRequest,
  Workload,
  type WorkloadOptions,
} from './workload.ts'
