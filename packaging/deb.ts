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

/** Level of xz. It takes 6 s and gives 40 MB; level 1 takes 12 s for 37 MB, and level 3 takes 39 s for 35 MB. */
export const XZ_LEVEL = 0;

/** All libraries are in the package. The maintainer scripts make users. */
const DEPENDS = ['passwd'];
/**
 * dpkg can unpack these since 1.15.6: zstd is unknown to that of Debian 11 and of Ubuntu before 21.10, and a
 * control.tar.xz to that of Ubuntu 14.04.
 */
const COMPRESSION = ['-Zxz', `-z${XZ_LEVEL}`, '--no-uniform-compression'];

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
