/** Builds the page into web/dist, which the collector serves: `npm run build`. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { servedFiles } from './served_files.ts';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'dist',
    // served_files.ts removes what is left over, when the new page is there.
    emptyOutDir: false,
    // The first releases that know light-dark(), which both colour schemes are made of.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // A data: URL would need an exception in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  plugins: [servedFiles()],
});
