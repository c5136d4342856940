import type { ComputeDevice } from './back-ends.ts'
import { type CpuVariant, cpuVariants } from './cpu-variants.ts'
import { libraryRelease } from './layouts.ts'
import { library } from './library.ts'

/** Which llama.cpp runs here, and on what. */
export interface LibraryReport {
  /** Of llama.cpp. */
  readonly release: string
  /** `INCIPIT_LLAMA_LIB`, or the name of a package. */
  readonly from: string
  readonly directory: string
  /** Builds of the CPU back end: the last one, with the highest score, is in use. Empty where there is one build for all. */
  readonly variants: readonly CpuVariant[]
  /** Instructions in use, in llama.cpp's words. */
  readonly instructions: string
  readonly devices: readonly ComputeDevice[]
  /** Packages with back ends for GPUs that exist for this platform. */
  readonly gpuPackages: readonly { readonly name: string; readonly state: 'in use' | 'no device' | 'not installed' }[]
}

/**
 * Loads llama.cpp's library and says what it found. Meant for people: it loads every CPU variant to ask it.
 * @throws IncipitError `native_library`
 */
export function inspectLibrary(): LibraryReport {
  const { place, backEnds, systemInfo } = library()
  const installed = new Set(place.gpus.map(({ name }) => name))
  const state = (name: string) => {
    if (!installed.has(name)) return 'not installed'
    return name === backEnds.gpu ? 'in use' : 'no device'
  }
  return {
    release: libraryRelease,
    from: place.from,
    directory: place.directory,
    variants: cpuVariants(place.directory),
    instructions: systemInfo().trim(),
    devices: backEnds.devices(),
    gpuPackages: place.gpuNames.map((name) => ({ name, state: state(name) })),
  }
}
