import type { MachineProfile } from './profile.ts'

/** A dense transformer with grouped-query attention, as far as its speed depends on it. */
interface DatasheetModel {
  readonly name: string
  readonly layers: number
  readonly hidden: number
  readonly heads: number
  readonly kvHeads: number
  readonly headSize: number
  /** Parameters of all matrices that a row is multiplied with: without the input embedding, which is looked up. */
  readonly matrixParameters: number
  /** Parameters that lie in memory. */
  readonly parameters: number
}

/** One GPU of a machine, with published peaks. */
interface DatasheetGpu {
  readonly name: string
  readonly memoryBytes: number
  readonly bytesPerSecond: number
  /** Dense BF16. */
  readonly flopsPerSecond: number
  /** All-reduce between the GPUs: bus bandwidth as NCCL's tests define it. */
  readonly busBytesPerSecond: number
}

// Llama 3.1, from its published configurations (BF16 weights and cache: 2 bytes).
const llama8b: DatasheetModel = {
  name: 'Llama 3.1 8B',
  layers: 32,
  hidden: 4096,
  heads: 32,
  kvHeads: 8,
  headSize: 128,
  matrixParameters: 7.505e9,
  parameters: 8.03e9,
}
const llama70b: DatasheetModel = {
  name: 'Llama 3.1 70B',
  layers: 80,
  hidden: 8192,
  heads: 64,
  kvHeads: 8,
  headSize: 128,
  matrixParameters: 69.5e9,
  parameters: 70.55e9,
}
const h200: DatasheetGpu = {
  name: 'H200 SXM',
  memoryBytes: 141e9,
  bytesPerSecond: 4.8e12,
  flopsPerSecond: 989e12,
  busBytesPerSecond: 400e9,
}

const bytesPerNumber = 2
// Shares of the peaks that good kernels reach: weights streamed, large matrix products, attention.
const bandwidthEfficiency = 0.8
const computeEfficiency = 0.6
const attentionEfficiency = 0.4
// Launches, sampling and the scheduler, per step.
const overheadMs = 1
// One all-reduce of a few kilobytes over NVSwitch; two per layer.
const allReduceMs = 0.01
// Memory that may be filled, and what activations and workspaces take of it on each GPU.
const usableMemory = 0.9
const activationBytes = 4e9
// Host memory per GPU that may keep rows of requests that are over.
const hostBytes = 100e9
const dollarsPerGpuHour = 3.5

/**
 * A profile by arithmetic: reading the weights, or multiplying with them, whichever takes longer, then what the GPUs say
 * to each other, and a fixed overhead. Every number is derived in docs/simulation.md.
 */
function datasheetProfile(name: string, model: DatasheetModel, gpu: DatasheetGpu, gpus: number): MachineProfile {
  const weightsMs = (1000 * bytesPerNumber * model.matrixParameters) / gpus / (bandwidthEfficiency * gpu.bytesPerSecond)
  const rowMs = (1000 * 2 * model.matrixParameters) / gpus / (computeEfficiency * gpu.flopsPerSecond)
  // Each GPU sends and receives 2 (n - 1) / n of a row's hidden state, twice per layer.
  const syncs = gpus > 1 ? 2 * model.layers : 0
  const rowSyncMs = (1000 * syncs * model.hidden * bytesPerNumber * ((2 * (gpus - 1)) / gpus)) / gpu.busBytesPerSecond
  const knee = weightsMs / rowMs
  const fixed = overheadMs + syncs * allReduceMs
  const point = (rows: number) => ({ rows, ms: Math.max(weightsMs, rows * rowMs) + rows * rowSyncMs + fixed })

  const cellBytes = 2 * model.layers * model.kvHeads * model.headSize * bytesPerNumber
  const free = gpus * (usableMemory * gpu.memoryBytes - activationBytes) - bytesPerNumber * model.parameters
  const cellMs = (1000 * cellBytes) / gpus / (bandwidthEfficiency * gpu.bytesPerSecond)
  // A row's query times a cell's key, and the weight times its value: 4 operations per head and number.
  const pairMs =
    (1000 * 4 * model.layers * model.heads * model.headSize) / gpus / (attentionEfficiency * gpu.flopsPerSecond)
  return {
    name,
    description: `${model.name}, BF16, on ${gpus === 1 ? 'one' : gpus} ${gpu.name}: arithmetic, not measured`,
    dollarsPerHour: gpus * dollarsPerGpuHour,
    cells: Math.floor(free / cellBytes),
    context: 16_384,
    slots: 520,
    parallel: 256,
    unified: true,
    cellBytes,
    // Of the host's memory.
    keptBytes: gpus * hostBytes,
    batch: 2048,
    tile: 1,
    devices: [0],
    costs: [[point(1), point(knee), point(16_384)]],
    attention: [{ cellMs, pairMs, loosePairMs: pairMs }],
    betweenStepsMs: 0,
    noise: 0,
    exit: false,
  }
}

export const datasheetProfiles = [
  datasheetProfile('h200-8b', llama8b, h200, 1),
  datasheetProfile('8xh200-70b', llama70b, h200, 8),
] as const
