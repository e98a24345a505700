/** The scripts that dpkg and rpm run, each whole: what all have in common comes first. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Format } from './target.ts';

const DIRECTORY = join(import.meta.dirname, 'maintainer');

/** By the script's name: `postinst`, `pre`. */
export function maintainerScripts(format: Format): Map<string, string> {
  const common = readFileSync(join(DIRECTORY, 'common.sh'), 'utf8');
  const names = readdirSync(DIRECTORY)
    .filter((name) => name.startsWith(`${format}.`))
    .sort();
  return new Map(
    names.map((name) => [
      name.slice(format.length + 1),
      `#!/bin/sh\nset -e\n${common}\n${readFileSync(join(DIRECTORY, name), 'utf8')}`,
    ]),
  );
}
