/** Describes the checkout that packages are made from: its files, its release, its time. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';

export interface Sources {
  /** Absolute path. */
  root: string;
  /**
   * Sorted paths below the root that git tracks or would track. Other files of a checkout are in no package.
   */
  files: readonly string[];
  /** From package.json. */
  version: string;
  /** Time of every file in a package: SOURCE_DATE_EPOCH, else when the commit was made. */
  timeSeconds: number;
  commit: string;
  /** `Name <address>` for the packages: the variable MAINTAINER, else the author of the commit. */
  maintainer: string;
  /** True if files were changed since that commit: nobody else can build the same. */
  changed: boolean;
}

export async function readSources(root: string): Promise<Sources> {
  const git = (...args: string[]) =>
    run('git', ['-c', 'safe.directory=*', ...args], { cwd: root, from: 'git' });
  const listed = (await git('ls-files', '-z', '--cached', '--others', '--exclude-standard'))
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(root, path)));
  const [commit = '', commitTime = ''] = (await git('log', '-1', '--format=%H %ct')).trim().split(' ');
  const author = (await git('log', '-1', '--format=%an <%ae>')).trim();
  const release = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return {
    root,
    files: listed.sort(),
    version: release.version,
    timeSeconds: Number(process.env['SOURCE_DATE_EPOCH'] ?? commitTime),
    commit,
    maintainer: process.env['MAINTAINER'] ?? author,
    changed: (await git('status', '--porcelain')) !== '',
  };
}
