/** Packages of this very checkout, made once and kept: making them takes most of a minute, and several tests need them. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from '../../../packaging/build.ts';
import { readSources } from '../../../packaging/sources.ts';
import { FORMATS, TARGETS, type Target } from '../../../packaging/target.ts';

export const ROOT = join(import.meta.dirname, '../../..');
export const NATIVE = TARGETS.find(({ arch }) => arch === process.arch)!;
export const FOREIGN = TARGETS.find(({ arch }) => arch !== process.arch)!;
const KEPT_IN = join(ROOT, '.runtime/packages');
/** Inputs of a package besides the commit, which it names. */
const MATTERS =
  /^(agent|setup\/runtime|cli|collector|common|known_clients|lab|packaging|protocol|systemd|systemd_notify|web)\/|^package(-lock)?\.json$/;

export interface Kept {
  deb: string;
  rpm: string;
  /** The .tar.gz. */
  archive: string;
  sha256sums: string;
}

/** Why packages cannot be made here, or null. */
export function cannotPackage(target: Target): string | null {
  const ofTarget = ['g++', 'strip', 'objcopy'].map((name) => `${target.gnu}-${name}`);
  const programs = ['dpkg-deb', 'apt-get', 'rpmbuild', 'npm', 'git', ...ofTarget];
  const directories = (process.env['PATH'] ?? '').split(':');
  const missing = programs.filter(
    (name) => !directories.some((directory) => existsSync(join(directory, name))),
  );
  if (!/^VERSION_CODENAME=bookworm$/m.test(readFileSync('/etc/os-release', 'utf8')))
    missing.push('Debian 12');
  return missing.length === 0 ? null : `not here, and needed to make packages: ${missing.join(', ')}`;
}

export async function keptPackages(target: Target): Promise<Kept> {
  const sources = await readSources(ROOT);
  const hash = createHash('sha256').update(`${sources.commit} ${sources.timeSeconds} ${target.arch}\n`);
  for (const path of sources.files.filter((path) => MATTERS.test(path))) {
    hash.update(`${path}\0`).update(readFileSync(join(ROOT, path)));
  }
  const directory = join(KEPT_IN, `${target.arch}-${hash.digest('hex').slice(0, 16)}`);
  await alone(`${directory}.lock`, async () => {
    if (!existsSync(directory)) await make(target, directory);
  });
  const find = (ending: string) =>
    join(directory, readdirSync(directory).find((name) => name.endsWith(ending))!);
  return {
    deb: find('.deb'),
    rpm: find('.rpm'),
    archive: find('.tar.gz'),
    sha256sums: readFileSync(join(directory, 'SHA256SUMS'), 'utf8'),
  };
}

async function make(target: Target, directory: string): Promise<void> {
  const apart = `${directory}.${process.pid}`;
  try {
    await build({
      root: ROOT,
      targets: [target],
      formats: FORMATS,
      revision: 1,
      out: apart,
      work: `${apart}.work`,
    });
    // Packages of earlier states of the checkout.
    for (const name of readdirSync(KEPT_IN).filter(
      (name) => /^\w+-[0-9a-f]{16}$/.test(name) && name.startsWith(target.arch),
    )) {
      rmSync(join(KEPT_IN, name), { recursive: true, force: true });
    }
    renameSync(apart, directory);
  } finally {
    rmSync(apart, { recursive: true, force: true });
  }
}

/** Test files run side by side: of those that want the same packages one makes them, and the others wait. */
async function alone(lock: string, action: () => Promise<void>): Promise<void> {
  mkdirSync(KEPT_IN, { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (!isHeld(lock)) rmSync(lock, { force: true });
      else await sleep(100);
    }
  }
  try {
    await action();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** False when whoever took it has ended without giving it back. */
function isHeld(lock: string): boolean {
  try {
    const pid = readFileSync(lock, 'utf8');
    return pid === '' || existsSync(`/proc/${pid}`);
  } catch {
    return true; // just given back: asked for again
  }
}
