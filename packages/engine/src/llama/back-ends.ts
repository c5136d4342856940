import koffi, { type LibraryHandle } from 'koffi'
import { IncipitError } from '../api/errors.ts'
import type { GpuPackage } from './find-library.ts'
import type { Pointer } from './native.ts'

/** What computes, as ggml says. */
export interface ComputeDevice {
  /** `CPU`, `CUDA0`. */
  readonly name: string
  readonly description: string
  readonly kind: 'cpu' | 'gpu' | 'accelerator'
  /** Bytes. Both 0 where the device does not say. */
  readonly memory: { readonly free: number; readonly total: number }
}

// ggml-backend.h: GGML_BACKEND_DEVICE_TYPE_CPU, GPU, IGPU, ACCEL.
const kinds = ['cpu', 'gpu', 'gpu', 'accelerator'] as const
const cpuDeviceType = kinds.indexOf('cpu')

/** ggml's registry of back ends and their devices. */
export class BackEnds {
  readonly #base: LibraryHandle
  readonly #ggml: LibraryHandle
  /** The package of the GPU back end that is in use. */
  readonly gpu: string | undefined

  /**
   * Loads the back ends of a folder, for the CPU the best variant, then the first one for GPUs that finds a device. ggml is
   * loaded already, and libraries of other folders find it by its name.
   */
  constructor(base: LibraryHandle, ggml: LibraryHandle, directory: string, gpus: readonly GpuPackage[]) {
    this.#base = base
    this.#ggml = ggml
    ggml.func('void ggml_backend_load_all_from_path(const char *directory)')(directory)
    const load = ggml.func('void *ggml_backend_load(const char *path)')
    const devices = base.func('size_t ggml_backend_reg_dev_count(void *registry)')
    const works = (file: string) => {
      const registry = load(file) as Pointer | null
      return Boolean(registry) && Number(devices(registry)) > 0
    }
    this.gpu = gpus.find(({ files }) => files.some(works))?.name
  }

  devices(): ComputeDevice[] {
    const base = this.#base
    const get = this.#ggml.func('void *ggml_backend_dev_get(size_t index)')
    const name = base.func('const char *ggml_backend_dev_name(void *device)')
    const description = base.func('const char *ggml_backend_dev_description(void *device)')
    const type = base.func('int ggml_backend_dev_type(void *device)')
    const memory = base.func('void ggml_backend_dev_memory(void *device, _Out_ size_t *free, _Out_ size_t *total)')
    const count = Number(this.#ggml.func('size_t ggml_backend_dev_count()')())
    return Array.from({ length: count }, (_, index) => {
      const device = get(index)
      const [free, total] = [[0], [0]]
      memory(device, free, total)
      return {
        name: name(device) as string,
        description: description(device) as string,
        kind: kinds[type(device) as number] ?? 'accelerator',
        memory: { free: Number(free[0]), total: Number(total[0]) },
      }
    })
  }

  /** The CPU back end's persistent thread pool: without one, every decode starts and joins its threads anew. */
  threadpool(): { threadpoolNew: (threads: number) => Pointer; threadpoolFree: (pool: Pointer) => void } {
    const device = this.#ggml.func('void *ggml_backend_dev_by_type(int type)')(cpuDeviceType) as Pointer
    const registry = this.#base.func('void *ggml_backend_dev_backend_reg(void *device)')(device) as Pointer
    const procAddress = this.#base.func('void *ggml_backend_reg_get_proc_address(void *registry, const char *name)')
    const create = koffi.proto('void *ggml_threadpool_new_t(_Inout_ ggml_threadpool_params *params)')
    const free = koffi.proto('void ggml_threadpool_free_t(void *pool)')
    const newAddress = procAddress(registry, 'ggml_threadpool_new') as Pointer | null
    const freeAddress = procAddress(registry, 'ggml_threadpool_free') as Pointer | null
    if (!newAddress || !freeAddress) throw new IncipitError('native_library', 'the CPU back end lacks thread pools')
    const anyCore = new Array<boolean>(512).fill(false)
    return {
      threadpoolNew: (threads) => {
        // Idle threads spin for about 4 ms (poll 2) before they sleep: longer than the gap between two decodes, and short
        // enough to leave the cores to others. llama.cpp's own 50 would spin for 100 ms.
        const params = { cpumask: anyCore, n_threads: threads, prio: 0, poll: 2, strict_cpu: false, paused: false }
        return koffi.call(newAddress, create, params) as Pointer
      },
      threadpoolFree: (pool) => {
        koffi.call(freeAddress, free, pool)
      },
    }
  }
}
