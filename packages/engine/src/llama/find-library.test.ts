import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { findLibrary, libraryFile } from './find-library.ts'
import { packageVersion } from './layouts.ts'

/** A folder with packages as npm would install them, with these files in `bins/`. */
async function installed(
  t: TestContext,
  packages: Record<string, string[]>,
  version = packageVersion,
): Promise<{ from: string; bins: (name: string) => string }> {
  const root = await temporaryDirectory(t)
  const folder = (name: string) => join(root, 'node_modules', '@node-llama-cpp', name)
  for (const [name, files] of Object.entries(packages)) {
    const content = { name: `@node-llama-cpp/${name}`, version, exports: { '.': './dist/index.js' } }
    const all = { 'package.json': JSON.stringify(content), 'dist/index.js': '' }
    const bins = Object.fromEntries(files.map((file) => [`bins/${file}`, '']))
    for (const [file, text] of Object.entries({ ...all, ...bins })) {
      await mkdir(dirname(join(folder(name), file)), { recursive: true })
      await writeFile(join(folder(name), file), text)
    }
  }
  return { from: join(root, 'file.js'), bins: (name) => join(folder(name), 'bins') }
}

const systems: [platform: string, arch: string, name: string][] = [
  ['linux', 'x64', 'linux-x64'],
  ['linux', 'arm64', 'linux-arm64'],
  ['linux', 'arm', 'linux-armv7l'],
  ['darwin', 'arm64', 'mac-arm64-metal'],
  ['darwin', 'x64', 'mac-x64'],
  ['win32', 'x64', 'win-x64'],
  ['win32', 'arm64', 'win-arm64'],
]

test('every platform has a package', async (t) => {
  const { from, bins } = await installed(t, Object.fromEntries(systems.map(([, , name]) => [name, []])))
  for (const [platform, arch, name] of systems) {
    const place = findLibrary({ env: {}, platform, arch, from })
    assert.deepEqual([place.from, place.directory, place.gpus], [`@node-llama-cpp/${name}`, join(bins(name), name), []])
  }
})

test('the package for this system is found where this repository has it', () => {
  assert.match(findLibrary({ env: {} }).from, /^@node-llama-cpp\//)
})

test('without the package, with another version, and on other platforms it is said what to do', async (t) => {
  const linux = { env: {}, platform: 'linux', arch: 'x64' }
  const { from } = await installed(t, {})
  const missing = { code: 'native_library', message: /install @node-llama-cpp\/linux-x64@3\.22\.1;.*INCIPIT_LLAMA_LIB/ }
  assert.throws(() => findLibrary({ ...linux, from }), missing)
  const { from: other } = await installed(t, { 'linux-x64': [] }, '3.21.0')
  assert.throws(() => findLibrary({ ...linux, from: other }), missing)
  const unknown = { code: 'native_library', message: /no llama\.cpp library for sunos-x64, only for linux-x64, / }
  assert.throws(() => findLibrary({ env: {}, platform: 'sunos', arch: 'x64', from }), unknown)
})

test('a folder that is named comes before all packages', async (t) => {
  const { from } = await installed(t, { 'linux-x64': [], 'linux-x64-cuda': ['libggml-cuda.so'] })
  const place = findLibrary({ env: { INCIPIT_LLAMA_LIB: '/mine' }, platform: 'linux', arch: 'x64', from })
  assert.deepEqual([place.from, place.directory, place.gpus], ['INCIPIT_LLAMA_LIB', '/mine', []])
})

test('packages for GPUs are found, CUDA first, each with its fallbacks', async (t) => {
  const { from, bins } = await installed(t, {
    'linux-x64': ['linux-x64/libggml-cpu-haswell.so'],
    'linux-x64-vulkan': ['linux-x64-vulkan/libggml-vulkan.so', 'linux-x64-vulkan/libggml-base.so'],
    'linux-x64-cuda': ['linux-x64-cuda/libggml-cuda.so', 'linux-x64-cuda/libggml.cuda.v0.5.0.so'],
    'linux-x64-cuda-ext': ['linux-x64-cuda/fallback/libggml-cuda.so'],
  })
  const { gpus } = findLibrary({ env: {}, platform: 'linux', arch: 'x64', from })
  assert.deepEqual(gpus, [
    {
      name: '@node-llama-cpp/linux-x64-cuda',
      files: [
        join(bins('linux-x64-cuda'), 'linux-x64-cuda/libggml-cuda.so'),
        join(bins('linux-x64-cuda-ext'), 'linux-x64-cuda/fallback/libggml-cuda.so'),
      ],
    },
    {
      name: '@node-llama-cpp/linux-x64-vulkan',
      files: [join(bins('linux-x64-vulkan'), 'linux-x64-vulkan/libggml-vulkan.so')],
    },
  ])
})

test('on Windows they are DLLs, and the package has its own fallback', async (t) => {
  const { from, bins } = await installed(t, {
    'win-x64': [],
    'win-x64-cuda': ['win-x64-cuda/ggml-cuda.dll', 'win-x64-cuda/fallback/ggml-cuda.dll', 'win-x64-cuda/ggml-base.dll'],
  })
  const { gpus } = findLibrary({ env: {}, platform: 'win32', arch: 'x64', from })
  const folder = join(bins('win-x64-cuda'), 'win-x64-cuda')
  assert.deepEqual(gpus[0]?.files, [join(folder, 'ggml-cuda.dll'), join(folder, 'fallback/ggml-cuda.dll')])
})

test('a library is found by every name that it has', async (t) => {
  for (const name of [
    'libllama.so',
    'libllama.v0.5.0.so',
    'libllama.metal.v0.5.0.dylib',
    'llama.dll',
    'llama.v0.5.0.dll',
  ]) {
    const folder = await temporaryDirectory(t)
    for (const file of ['libllama-common.so', 'llama-addon.node', name]) await writeFile(join(folder, file), '')
    assert.equal(libraryFile(folder, 'llama'), join(folder, name))
  }
})
