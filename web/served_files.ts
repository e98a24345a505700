/**
 * Adds a `.br` and a `.gz` to each built file, and then removes the files of the build before. A collector
 * can serve the page during a build, because all files of one build exist at every moment.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const TEXT = /\.(html|js|css|svg|json)$/;
const COMPRESSED = /\.(br|gz)$/;
/** Compression of a smaller file saves less than its headers cost. */
const MIN_BYTES = 512;

export function servedFiles(): Plugin {
  let [directory, publicDirectory] = ['', ''];
  const built = new Set<string>();
  return {
    name: 'served-files',
    apply: 'build',
    configResolved(config) {
      directory = resolve(config.root, config.build.outDir);
      publicDirectory = config.publicDir;
    },
    writeBundle(_options, bundle) {
      for (const name of Object.keys(bundle)) built.add(name);
    },
    closeBundle() {
      // A failed build keeps the files of the build before.
      if (built.size === 0) return;
      for (const name of filesIn(publicDirectory)) built.add(name);
      for (const name of built) if (TEXT.test(name)) compress(join(directory, name));
      for (const name of filesIn(directory)) {
        if (!built.has(name.replace(COMPRESSED, ''))) rmSync(join(directory, name));
      }
    },
  };
}

function compress(file: string): void {
  const content = readFileSync(file);
  if (content.length < MIN_BYTES) return;
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  writeFileSync(`${file}.br`, brotliCompressSync(content, { params }));
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
}

/** Returns the paths of all files below a directory, relative to it. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}
