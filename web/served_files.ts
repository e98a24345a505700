/**
 * Makes of what was built what a collector can serve while it is built again: `.br` and `.gz` beside each file that gets smaller by
 * it, and only then, what an earlier build left is removed. At every moment there is a whole page.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const TEXT = /\.(html|js|css|svg|json)$/;
const COMPRESSED = /\.(br|gz)$/;
/** Below this, headers weigh more than what is saved. */
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
      // A build that failed leaves the one before as it is.
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

/** Paths of all files below, relative to it. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}
