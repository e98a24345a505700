/** Makes the scripts that dpkg and rpm run. Each begins with the part that they share. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ManagedFormat } from './target.ts';

const DIRECTORY = join(import.meta.dirname, 'maintainer');

/** Scripts by their names: `postinst`, `pre`. */
export function maintainerScripts(format: ManagedFormat): Map<string, string> {
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
