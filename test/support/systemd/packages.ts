/** The .deb of this checkout, and one of a later release that differs in nothing but its number. */
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cannotPackage, keptPackages, NATIVE } from '../packaging/kept.ts';

const run = promisify(execFile);
const FIRST = 'imdswatch.deb';
const SECOND = 'imdswatch_later.deb';

/** Both in `directory`, by their file names. A string says why they cannot be made here. */
export async function makePackages(directory: string): Promise<{ first: string; second: string } | string> {
  const why = cannotPackage(NATIVE);
  if (why !== null) return why;
  cpSync((await keptPackages(NATIVE)).deb, join(directory, FIRST));
  const tree = join(directory, 'later');
  await run('dpkg-deb', ['--raw-extract', join(directory, FIRST), tree]);
  const control = join(tree, 'DEBIAN/control');
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, '$&.later'));
  await run('dpkg-deb', ['--build', '--root-owner-group', '-Znone', tree, join(directory, SECOND)]);
  rmSync(tree, { recursive: true });
  return { first: FIRST, second: SECOND };
}
