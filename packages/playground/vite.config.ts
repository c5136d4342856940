import { defineConfig } from 'vite'

export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2023',
    // The server's policy allows no inline script, and the polyfill is one.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        // One name for ever: the server answers with an ETag, and a built page can be compared with its sources.
        entryFileNames: 'page.js',
        chunkFileNames: '[name].js',
        assetFileNames: '[name][extname]',
      },
    },
  },
  // `npm run dev -w @incipit/playground`, beside `npm start`.
  server: { proxy: { '/v1': { target: 'http://127.0.0.1:8080', ws: true } } },
})
