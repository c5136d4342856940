import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { IncipitError } from '../api/errors.ts'
import { libraryRelease, packageVersion } from './layouts.ts'

/** A package with a back end for GPUs. */
export interface GpuPackage {
  readonly name: string
  /** Paths of its back end, each to be tried if those before it find no device. */
  readonly files: readonly string[]
}

/** Where llama.cpp's libraries are. */
export interface LibraryPlace {
  /** `INCIPIT_LLAMA_LIB`, or the name of a package. */
  readonly from: string
  readonly directory: string
  /** Installed packages for GPUs, the preferred one first. */
  readonly gpus: readonly GpuPackage[]
  /** Names of those that exist for this platform. */
  readonly gpuNames: readonly string[]
}

interface Platform {
  readonly cpu: string
  readonly gpus: readonly { readonly name: string; readonly more?: string }[]
}

// What node-llama-cpp publishes of this release, by platform and architecture as Node calls them. That for Macs with an ARM
// processor has Metal. `more` is a package with builds of the same back end for further toolkits.
const platforms: Readonly<Record<string, Platform>> = {
  'linux-x64': {
    cpu: 'linux-x64',
    gpus: [{ name: 'linux-x64-cuda', more: 'linux-x64-cuda-ext' }, { name: 'linux-x64-vulkan' }],
  },
  'linux-arm64': { cpu: 'linux-arm64', gpus: [] },
  'linux-arm': { cpu: 'linux-armv7l', gpus: [] },
  'darwin-arm64': { cpu: 'mac-arm64-metal', gpus: [] },
  'darwin-x64': { cpu: 'mac-x64', gpus: [] },
  'win32-x64': {
    cpu: 'win-x64',
    gpus: [{ name: 'win-x64-cuda', more: 'win-x64-cuda-ext' }, { name: 'win-x64-vulkan' }],
  },
  'win32-arm64': { cpu: 'win-arm64', gpus: [] },
}

/** Who looks for libraries, and where: this process, beside this file. The arguments are for tests. */
interface Search {
  env?: Readonly<Record<string, string | undefined>>
  platform?: string
  arch?: string
  /** A file: packages are found as it would find them. */
  from?: string
}

/**
 * Finds llama.cpp's libraries: in the folder of INCIPIT_LLAMA_LIB, else in the package for this platform, with those for
 * GPUs that are installed beside it.
 * @throws IncipitError `native_library` when there are none
 */
export function findLibrary({
  env = process.env,
  platform: system = process.platform,
  arch = process.arch,
  from = import.meta.filename,
}: Search = {}): LibraryPlace {
  const custom = env.INCIPIT_LLAMA_LIB
  if (custom) return { from: 'INCIPIT_LLAMA_LIB', directory: custom, gpus: [], gpuNames: [] }
  const name = `${system}-${arch}`
  const platform = platforms[name]
  if (!platform) {
    throw missing(`there is no llama.cpp library for ${name}, only for ${Object.keys(platforms).join(', ')}`)
  }
  const directory = packageFolder(platform.cpu, from)
  if (directory === undefined) {
    throw missing(`no llama.cpp library for ${name}: install ${fullName(platform.cpu)}@${packageVersion}`)
  }
  return {
    from: fullName(platform.cpu),
    directory,
    gpus: platform.gpus.flatMap((gpu) => gpuPackage(gpu, from)),
    gpuNames: platform.gpus.map(({ name }) => fullName(name)),
  }
}

/** The file of a library in a folder: `libllama.v0.5.0.so`, `libllama.metal.v0.5.0.dylib`, `llama.dll`. */
export function libraryFile(directory: string, name: string): string {
  const pattern = new RegExp(`^(lib)?${name}(\\.[a-z]+)?(\\.v[\\d.]+)?\\.(so|dylib|dll)$`)
  const file = existsSync(directory) ? readdirSync(directory).find((entry) => pattern.test(entry)) : undefined
  if (file === undefined) {
    throw new IncipitError(
      'native_library',
      `no ${name} library in ${directory} (llama.cpp ${libraryRelease} is needed)`,
    )
  }
  return join(directory, file)
}

function gpuPackage({ name, more }: Platform['gpus'][number], from: string): GpuPackage[] {
  const folder = packageFolder(name, from)
  if (folder === undefined) return []
  const others = more === undefined ? undefined : packageFolder(more, from, name)
  // node-llama-cpp tries what the package has, then what lies in `fallback`, of the further package where it is installed.
  const folders = [folder, join(others ?? folder, 'fallback')]
  const files = folders.flatMap((folder) => backEnds(folder).map((file) => join(folder, file)))
  return [{ name: fullName(name), files }]
}

function backEnds(folder: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder).filter((file) => /^(lib)?ggml-(cuda|vulkan)\.(so|dll)$/.test(file))
    : []
}

/** The folder with the libraries of a package, if it is installed in the one version that fits. */
function packageFolder(name: string, from: string, folder = name): string | undefined {
  try {
    const entry = createRequire(from).resolve(fullName(name))
    const root = join(dirname(entry), '..')
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    return version === packageVersion ? join(root, 'bins', folder) : undefined
  } catch {
    return undefined
  }
}

function fullName(name: string): string {
  return `@node-llama-cpp/${name}`
}

function missing(why: string): IncipitError {
  return new IncipitError(
    'native_library',
    `${why}; or name a folder with the libraries of llama.cpp ${libraryRelease} in INCIPIT_LLAMA_LIB`,
  )
}
