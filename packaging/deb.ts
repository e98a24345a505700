/** Makes the Debian package with dpkg-deb. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIGURATION, DESCRIPTION, SUMMARY } from './description.ts';
import { maintainerScripts } from './maintainer_scripts.ts';
import { run } from './run.ts';
import type { Sources } from './sources.ts';
import type { Target } from './target.ts';
import type { Tree } from './tree.ts';

/**
 * libpcap0.8 is named libpcap0.8t64 from Ubuntu 24.04 and Debian 13 on. libbpf is loaded as libbpf.so.1.
 * Ubuntu 22.04 and Debian 11 have only libbpf0: there the agent finds callers by sock_diag and /proc, and
 * says so.
 */
const DEPENDS = [
  'libc6 (>= 2.28)',
  'libgcc-s1',
  'libstdc++6 (>= 8)',
  'libpcap0.8 (>= 1.9) | libpcap0.8t64',
  'libbpf1 | libbpf0',
  'passwd',
];
/**
 * Level of zstd. It takes 6 s and gives 37 MB. xz gives 30 MB in 80 s, and is four times slower to unpack.
 */
const COMPRESSION = ['-Zzstd', '-z9'];

export interface PackageOptions {
  tree: Tree;
  sources: Sources;
  target: Target;
  /** Revision of the package: the 1 in 0.1.0-1. */
  revision: number;
  /** Directory for the package. */
  out: string;
}

/** Makes the package and resolves to its path. Modes and times of the tree are set. */
export async function makeDeb({ tree, sources, target, revision, out }: PackageOptions): Promise<string> {
  const files = tree.files();
  const version = `${sources.version}-${revision}`;
  const control = [
    'Package: imdswatch',
    `Version: ${version}`,
    `Architecture: ${target.deb}`,
    `Maintainer: ${sources.maintainer}`,
    `Installed-Size: ${installedKib(tree, files)}`,
    `Depends: ${DEPENDS.join(', ')}`,
    'Section: admin',
    'Priority: optional',
    `Description: ${SUMMARY}`,
    ...DESCRIPTION.map((line) => ` ${line}`),
  ];
  const sums = files.map((path) => `${md5(tree, path)}  ${path.slice(1)}`);
  tree.write('/DEBIAN/control', `${control.join('\n')}\n`);
  tree.write('/DEBIAN/conffiles', CONFIGURATION.map(({ path }) => `${path}\n`).join(''));
  tree.write('/DEBIAN/md5sums', `${sums.join('\n')}\n`);
  for (const [name, script] of maintainerScripts('deb')) {
    tree.write(`/DEBIAN/${name}`, script);
    tree.program(`/DEBIAN/${name}`);
  }
  tree.settle(sources.timeSeconds);
  const path = join(out, `imdswatch_${version}_${target.deb}.deb`);
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(sources.timeSeconds) };
  await run('dpkg-deb', ['--root-owner-group', ...COMPRESSION, '--build', tree.directory, path], {
    env,
    from: 'dpkg',
  });
  return path;
}

/**
 * Counts like dpkg-gencontrol (deb-substvars(5)): each file rounded up to 1 KiB, and 1 KiB for each
 * directory.
 */
function installedKib(tree: Tree, files: readonly string[]): number {
  const ofFiles = files.reduce((sum, path) => sum + Math.ceil(statSync(tree.at(path)).size / 1024), 0);
  return ofFiles + tree.directories().length;
}

/** Returns the checksums that `dpkg --verify` compares with. */
function md5(tree: Tree, path: string): string {
  return createHash('md5')
    .update(readFileSync(tree.at(path)))
    .digest('hex');
}
