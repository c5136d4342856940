import { build, type Plugin } from 'vite'

const client = new URL('../src/index.ts', import.meta.url).pathname

/** One module and all that it imports as minified JavaScript for browsers. */
export async function bundle(name: string, source: string, plugins: readonly Plugin[] = []): Promise<string> {
  const entry: Plugin = {
    name: 'entry',
    enforce: 'pre',
    // Beside this file, so that packages are found from here.
    resolveId: (id) => (id === 'entry' ? `${import.meta.dirname}/${name}` : null),
    load: (id) => (id.endsWith(`/test/${name}`) ? source : null),
  }
  const result = await build({
    configFile: false,
    envFile: false,
    logLevel: 'silent',
    plugins: [entry, ...plugins],
    resolve: { alias: { '@incipit/client': client } },
    define: { 'process.env.NODE_ENV': '"production"', __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false' },
    build: { write: false, minify: true, rollupOptions: { input: 'entry' } },
  })
  if (!('output' in result)) throw new Error('vite gave no output')
  const [chunk, ...others] = result.output
  if (others.length > 0) throw new Error('one file was expected')
  return chunk.code
}
