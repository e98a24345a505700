/** Builds the page into web/dist, which the collector serves: `npm run build`. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { servedFiles } from './served_files.ts';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'dist',
    // served_files.ts removes old files after the new ones are complete.
    emptyOutDir: false,
    // These are the first releases with light-dark(), which defines both colour schemes.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // Inlined assets are data: URLs, which the content security policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  plugins: [servedFiles()],
});
