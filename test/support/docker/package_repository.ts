/** A Debian with a repository of packages in it, so that an image that installs them can be built without network. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../../../common/operator_error.ts';
import { copyDebianTree, debianTree } from '../lab/debian_tree.ts';

const execFileAsync = promisify(execFile);
const KEPT_IN = join(import.meta.dirname, '../../../.runtime');
/** Directory of the repository in the tree. */
const REPOSITORY = 'srv/packages';
const DOWNLOAD_TIMEOUT_MS = 200_000;

/**
 * Returns a bare Debian 12 whose only source of packages is a directory of its own, which has `names` and what they
 * depend on. It is made once and kept. Throws `OperatorError` where it cannot be made.
 */
export async function treeWithPackages(names: readonly string[]): Promise<string> {
  await debianTree();
  const place = join(KEPT_IN, `bookworm-with-${names.join('+')}`);
  if (existsSync(place)) return place;
  const work = mkdtempSync(join(KEPT_IN, 'packages-'));
  try {
    const root = join(work, 'tree');
    await copyDebianTree(root);
    await download(root, join(work, 'apt'), names);
    const repository = join(root, REPOSITORY);
    mkdirSync(repository, { recursive: true });
    const script = 'mv "$1"/archives/*.deb "$2" && cd "$2" && dpkg-scanpackages --multiversion . >Packages';
    await execFileAsync('sh', ['-c', script, 'sh', join(work, 'apt'), repository]);
    writeFileSync(join(root, 'etc/apt/sources.list'), `deb [trusted=yes] file:/${REPOSITORY} ./\n`);
    renameSync(root, place);
    return place;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const reason = stderr?.trim().split('\n').slice(-3).join(' ') || message;
    throw new OperatorError(1, `The packages ${names.join(', ')} could not be downloaded: ${reason}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Downloads what a tree lacks. apt works in `directory`, with the sources of the machine, which runs Debian 12. */
async function download(tree: string, directory: string, names: readonly string[]): Promise<void> {
  for (const made of ['lists/partial', 'archives/partial'])
    mkdirSync(join(directory, made), { recursive: true });
  const options = [
    'APT::Sandbox::User=',
    'Acquire::Languages=none',
    'Acquire::Retries=3',
    `Dir::State::Lists=${directory}/lists`,
    `Dir::State::status=${tree}/var/lib/dpkg/status`,
    `Dir::Cache=${directory}`,
  ].flatMap((option) => ['-o', option]);
  const limits = { timeout: DOWNLOAD_TIMEOUT_MS, maxBuffer: Infinity };
  await execFileAsync('apt-get', [...options, 'update'], limits);
  const install = ['install', '--yes', '--no-install-recommends', '--download-only'];
  await execFileAsync('apt-get', [...options, ...install, ...names], limits);
}
