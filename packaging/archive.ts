/** Makes the archive that is unpacked anywhere, with tar and gzip, which every system can read. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { PackageOptions } from './deb.ts';
import { run } from './run.ts';

/** Makes the archive and resolves to its path. It has one directory, with what is below /usr on a host. */
export async function makeArchive({ tree, sources, target, out }: PackageOptions): Promise<string> {
  tree.settle(sources.timeSeconds);
  const name = `imdswatch-${sources.version}-linux-${target.arch}`;
  const path = join(out, `${name}.tar.gz`);
  const plain = `${path}.tar`;
  // Names are changed in this order, each by the first that fits.
  const renamed = [`s,^\\./usr,${name},`, `s,^\\.,${name},`];
  const args = [
    '--create',
    `--file=${plain}`,
    `--directory=${tree.directory}`,
    '--format=ustar',
    '--sort=name',
    '--owner=root:0',
    '--group=root:0',
    `--mtime=@${sources.timeSeconds}`,
    ...renamed.map((expression) => `--transform=${expression}`),
  ];
  const tops = tree.directories().filter((directory) => /^\/[^/]+$/.test(directory) && directory !== '/usr');
  const below = tree.directories().filter((directory) => /^\/usr\/[^/]+$/.test(directory));
  await run('tar', [...args, ...[...below, ...tops].map((directory) => `.${directory}`)], { from: 'tar' });
  // Level 6 takes 4 s, and level 9 takes 12 s for an archive that is 0.6 % smaller.
  await run('sh', ['-c', 'exec gzip -n -6 -c "$1" >"$2"', 'sh', plain, path], { from: 'gzip' });
  rmSync(plain);
  return path;
}
